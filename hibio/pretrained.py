"""A trained model as its work directory holds it, or as it was released; read-only."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data_pipelines.problems import BadInputError, nearest
from hibio import config_trees, configs, parameters, released
from hibio import readout as readouts
from hibio.finetuning.config import FinetuningConfig
from hibio.model import HiBio
from hibio.readout import Readout
from hibio.training.checkpoints import read_params


@dataclasses.dataclass(frozen=True)
class Pretrained:
  """A trained model and where it comes from.

  Attributes:
    workdir: the folder it was loaded from.
    model: the module; `model.apply({"params": params}, ...)`.
    params: its parameters, a plain nested dictionary; adapters are merged into them.
    meta: config, gene panel, training donors and corpus of the run. The training donors are those
      of every run that the parameters have gone through.
    heads: task -> what reads it off an embedding, with `hibio.finetuning.heads.read`.
    readout: what expression is predicted by, if it was stored with this step.
  """

  workdir: Path
  model: HiBio
  params: Any
  meta: dict[str, Any]
  heads: Any = dataclasses.field(default_factory=dict)
  readout: Readout | None = None

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
    """Those of its training."""
    return config_trees.from_dict(configs.ObjectiveConfig, self.meta["config"]["objectives"])

  @property
  def patch_um(self) -> float:
    """Side of a patch on the tissue."""
    return float(self.meta["reading"]["patch"]["um"])

  @property
  def pitch_um(self) -> float | None:
    """From spot to spot in what it was trained on, in the median; None where it is not known."""
    trained = [one for one in self.meta["corpus"]["sections"] if one["split"] == "train"]
    known = [pitch for one in trained if (pitch := one.get("pitch_um"))]
    return float(np.median(known)) if known else None

  @property
  def features(self) -> dict[str, Any] | None:
    """The frozen encoder whose features stand in place of patches; None if it reads patches."""
    return self.meta["reading"].get("features")

  @property
  def window_spots(self) -> int:
    """Most spots of a window."""
    return int(self.meta["reading"]["window_spots"])

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


def load(path: str | os.PathLike) -> Pretrained:
  """The model of a folder; reads JSON and arrays only, runs no config.

  Args:
    path: a work directory, of which the newest whole checkpoint is read; a released model; or the
      name of one that comes with the library, e.g. "tiny-synthetic".

  Raises:
    BadInputError: no such folder, or no checkpoint in it that can be believed.
  """
  folder = released.folder_of(path)
  if not folder.is_dir():
    near = nearest(str(path), released.shipped())
    raise BadInputError(
      folder, "checkpoint", "no such folder",
      f"a work directory, a released model, or one of {', '.join(released.shipped())}",
      f"did you mean {near!r}?" if near else "correct the path or the name",
    )  # fmt: skip
  read = released.read if released.is_released(folder) else read_params
  params, meta = read(folder)
  try:
    return _built(folder, params, meta)
  except (AttributeError, KeyError, TypeError) as error:  # whole, but made by something else
    raise BadInputError(
      folder, "checkpoint", f"settings that are of no use ({error!r})",
      "what training or a release wrote", "give another folder",
    ) from error  # fmt: skip


def _built(folder: Path, params: Any, meta: dict[str, Any]) -> Pretrained:
  heads = {}
  if "finetuning" in meta["config"]:
    heads = parameters.heads(params)
    params = parameters.plain(
      params, config_trees.from_dict(FinetuningConfig, meta["config"]["finetuning"])
    )
  config = config_trees.from_dict(configs.ModelConfig, meta["config"]["model"])
  model = HiBio(config, len(meta["panel"]["ids"]))
  return Pretrained(folder, model, params, meta, heads, readouts.saved(folder, meta["step"]))
