"""A work directory of pretraining or finetuning -> a frozen model, in one line."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from hibio import configs, parameters
from hibio.finetuning.config import FinetuningConfig
from hibio.model import HiBio
from hibio.training.checkpoints import read_params


@dataclasses.dataclass(frozen=True)
class Pretrained:
  """A trained model and where it comes from.

  Attributes:
    workdir: the work directory it was loaded from.
    model: the module; `model.apply({"params": params}, ...)`.
    params: its parameters, a plain nested dictionary; adapters are merged into them.
    meta: config, gene panel, training donors and corpus of the run. The training donors are those
      of every run that the parameters have gone through.
    heads: task -> what reads it off an embedding, with `hibio.finetuning.heads.read`.
  """

  workdir: Path
  model: HiBio
  params: Any
  meta: dict[str, Any]
  heads: Any = dataclasses.field(default_factory=dict)

  @property
  def panel_hash(self) -> str:
    return self.meta["panel"]["hash"]

  @property
  def train_donors(self) -> list[str]:
    return self.meta["corpus"]["splits"]["train"]

  @property
  def seed(self) -> int:
    return self.meta["config"]["training"]["seed"]

  @property
  def objectives(self) -> configs.ObjectiveConfig:
    """Those of its training; runs of earlier versions reconstructed each spot's own expression."""
    values = {"surroundings_share": 0.0, **self.meta["config"]["objectives"]}
    return configs.from_dict(configs.ObjectiveConfig, values)

  @property
  def patch_um(self) -> float:
    """Side of a patch on the tissue; runs of earlier versions do not say and used the default."""
    return float(self.meta.get("reading", {}).get("patch", {}).get("um", 112.0))

  @property
  def window_spots(self) -> int:
    """Most spots of a window; as above."""
    return int(self.meta.get("reading", {}).get("window_spots", 64))

  def embed(
    self,
    adata: Any,
    *,
    image: str | os.PathLike | None = None,
    image_scale: float = 1.0,
    um_per_px: float | None = None,
    layer: str | None = None,
    library_key: str | None = None,
    gene_names: str | os.PathLike | None = None,
    domain_spots: Sequence[int] | None = None,
    predict_expression: bool = False,
    copy: bool = False,
  ) -> Any:
    """Adds embeddings, domains and pathway scores to an AnnData; see `hibio.export.keys`.

    Spots and genes stay as many and in the order they are; nothing else is changed.

    Args:
      adata: spots with raw counts (`layers["counts"]`, `X` or `raw.X`), an image, or both, and
        positions in `obsm["spatial"]`.
      image: H&E image file, instead of the largest in `uns["spatial"]`.
      image_scale: pixels of that image per pixel of the positions.
      um_per_px: micrometres a pixel of the positions, where the AnnData does not say.
      layer: matrix of raw counts, by name; "none" reads the image alone.
      library_key: column of `obs` that names sections.
      gene_names: table of Ensembl ids and symbols, to find genes by.
      domain_spots: spots that domains aim for at each level, finest first; by default as in
        training; empty for no domains.
      predict_expression: also `layers["hibio_predicted"]`.
      copy: leave `adata` alone and add to a copy of it.

    Returns:
      The AnnData that the results are in.

    Raises:
      BadInputError: something in it cannot be used.
    """
    from hibio.export import objects  # anndata and readers take seconds to import

    return objects.embed(
      self,
      adata.copy() if copy else adata,
      objects.Choices(
        layer=layer,
        library_key=library_key,
        image=None if image is None else Path(image),
        image_scale=image_scale,
        um_per_px=um_per_px,
      ),
      objects.settings(self, gene_names, domain_spots, predict_expression),
    )

  def embed_section(
    self,
    section: Any,
    *,
    gene_names: str | os.PathLike | None = None,
    domain_spots: Sequence[int] | None = None,
    predict_expression: bool = False,
  ) -> Any:
    """A new AnnData with the counts, positions, image and embeddings of one section.

    Args:
      section: as `data_pipelines.readers.read` returns them; else as for `embed`.

    Raises:
      BadInputError: the section shares hardly a gene with the model.
    """
    from hibio.export import objects  # as above

    return objects.embed_sections(
      self, [section], objects.settings(self, gene_names, domain_spots, predict_expression)
    )

  def describe(self) -> dict[str, Any]:
    """What a result needs to say about the model it belongs to."""
    return {
      "step": self.meta["step"],
      "num_parameters": sum(leaf.size for leaf in jax.tree.leaves(self.params)),
      "config": self.meta["config"],
      "heads": sorted(self.heads),
      "panel_hash": self.panel_hash,
      "corpus": self.meta["corpus"],
    }


def load(workdir: str | os.PathLike) -> Pretrained:
  """The newest whole checkpoint of a work directory; reads JSON and arrays only, runs no config.

  Raises:
    BadInputError: no work directory, or no checkpoint in it that can be believed.
  """
  params, meta = read_params(Path(workdir))
  heads = {}
  if "finetuning" in meta["config"]:
    heads = parameters.heads(params)
    params = parameters.plain(
      params, configs.from_dict(FinetuningConfig, meta["config"]["finetuning"])
    )
  config = configs.from_dict(configs.ModelConfig, as_trained(meta["config"]["model"]))
  model = HiBio(config, len(meta["panel"]["ids"]))
  return Pretrained(Path(workdir), model, params, meta, heads)


def as_trained(config: Mapping[str, Any]) -> dict[str, Any]:
  """A model's config with what a run of an earlier version did, where that had no choice yet.

  Such a run read keyword genes alone, weighed none by its pattern over the tissue, and cut patches
  into pieces; a later one read the profile, of each spot alone.
  """
  keywords = {"spatial_power": 0.0, **config["keywords"]}
  before = {"gene_profile": False, "gene_neighbourhood": False, "image_stem": "pieces"}
  return {**before, **config, "keywords": keywords}
