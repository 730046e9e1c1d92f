"""Expression read off image features in closed form: what is stored beside a checkpoint, and used.

Fitted by `hibio.evaluation.stored_readout` on the training sections, when pretraining ends.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from data_pipelines import files
from data_pipelines.problems import BadInputError

READOUT = "readout.npz"
NEAREST = 40
"""Training spots whose mean expression is averaged with the regression."""

_AT_A_TIME = 128
"""Spots that nearest ones are looked up for at a time: their values are gathered."""


def z_scores(
  values: Float[np.ndarray, "spot width"], known: Bool[np.ndarray, " spot"] | None = None
) -> Float[np.ndarray, "spot width"]:
  """Features of one section with mean 0 and standard deviation 1 over its known spots.

  Zero in unknown spots and in columns that do not vary.
  """
  known = np.ones(len(values), bool) if known is None else known
  units = np.zeros(values.shape, np.result_type(values, np.float32))
  if known.any():
    centred = values[known] - values[known].mean(axis=0)
    deviation = centred.std(axis=0)
    units[known] = np.where(deviation > 1e-6, centred / np.maximum(deviation, 1e-6), 0.0)
  return units


@dataclasses.dataclass(frozen=True)
class Regression:
  """Reduced-rank regression, and its mean with retrieval where there is a gallery.

  Attributes:
    weights: features to scores, the few patterns that expression is predicted by.
    loadings: scores to genes.
    gallery: scores of the spots it was fitted on; none for the regression alone.
    values: expression of these spots about their section's mean, over `components`.
    components: from `values` to genes.
  """

  weights: Float[np.ndarray, "width rank"]
  loadings: Float[np.ndarray, "rank gene"]
  gallery: Float[np.ndarray, "fitted rank"]
  values: Float[np.ndarray, "fitted component"]
  components: Float[np.ndarray, "component gene"]

  def __call__(self, features: Float[np.ndarray, "spot width"]) -> Float[np.ndarray, "spot gene"]:
    """Log expression about the mean of the section."""
    scores = features @ self.weights
    linear = scores @ self.loadings
    if not len(self.gallery):
      return linear
    return (linear + nearest_mean(self.gallery, self.values, scores) @ self.components) / 2


def nearest_mean(
  gallery: Float[np.ndarray, "fitted rank"],
  values: Float[np.ndarray, "fitted column"],
  scores: Float[np.ndarray, "spot rank"],
) -> Float[np.ndarray, "spot column"]:
  """Mean of the values of the `NEAREST` fitted spots whose scores are nearest to each spot's."""
  k = min(NEAREST, len(gallery))
  squares = (gallery**2).sum(axis=1)
  means = np.zeros((len(scores), values.shape[1]), np.float32)
  for start in range(0, len(scores), _AT_A_TIME):
    rows = slice(start, start + _AT_A_TIME)
    distance = squares - 2 * scores[rows] @ gallery.T
    near = np.argpartition(distance, k - 1, axis=1)[:, :k]
    means[rows] = values[near].mean(axis=1)
  return means


@dataclasses.dataclass(frozen=True)
class Readout:
  """Expression of every gene of a panel from image features, and how far it can be trusted.

  Attributes:
    whole: fitted on all training spots.
    folds: the same fitted without one group of training donors or sections each.
    mean: log1p of counts per 10,000, the mean over the training sections that measure the gene;
      not-a-number for genes that none of them measures.
    reliability: correlation of predicted and measured values within sections that the fit has not
      seen, the mean over them; not-a-number where it is not defined.
    reliability_sd: standard deviation over these sections.
    ceiling: the correlation that a prediction without error would reach with counts as deep as
      those of training.
    reads: blocks of features in order: "features" (what the frozen encoder gives), "embedding".
    about: the step of the checkpoint, the encoder's hash, rank, penalty, on what it was chosen.
  """

  whole: Regression
  folds: tuple[Regression, ...]
  mean: Float[np.ndarray, " gene"]
  reliability: Float[np.ndarray, " gene"]
  reliability_sd: Float[np.ndarray, " gene"]
  ceiling: Float[np.ndarray, " gene"]
  reads: tuple[str, ...]
  about: Mapping[str, Any]

  def predict(
    self, blocks: Mapping[str, np.ndarray], genes: Int[np.ndarray, " column"] | None = None
  ) -> tuple[Float[np.ndarray, "spot column"], Float[np.ndarray, "spot column"]]:
    """(log1p of counts per 10,000, its standard deviation over the folds) of one section's spots.

    The section's own level of a gene is not known from its image: the training mean stands for it.

    Args:
      blocks: name in `reads` -> features of the section's spots; "features" in section units.
      genes: rows of the panel; by default all.
    """
    rows = slice(None) if genes is None else genes
    features = joined(blocks, self.reads)
    parts = [_of_genes(part, rows)(features) for part in (self.whole, *self.folds)]
    spread = np.std(parts[1:], axis=0) if self.folds else np.full(parts[0].shape, np.nan)
    return (self.mean[rows] + parts[0]).astype(np.float32), spread.astype(np.float32)

  def table(self, genes: Int[np.ndarray, " column"]) -> dict[str, Float[np.ndarray, " column"]]:
    """Columns of `var` for the given genes: named in `COLUMNS`."""
    columns = (self.reliability, self.reliability_sd, self.ceiling)
    return dict(zip(COLUMNS, (column[genes] for column in columns), strict=True))


COLUMNS = ("hibio_r", "hibio_r_sd", "hibio_ceiling")
"""Reliability, its spread and the ceiling of each predicted gene, as columns of `var`."""


def joined(
  blocks: Mapping[str, np.ndarray], reads: Sequence[str]
) -> Float[np.ndarray, "spot width"]:
  """The blocks that are read, side by side; an embedding is put into section units first."""
  parts = [z_scores(blocks[name]) if name == "embedding" else blocks[name] for name in reads]
  return np.concatenate(parts, axis=1)


def save(readout: Readout, folder: Path) -> None:
  """Writes it beside the checkpoints, with a hash of its content."""
  arrays = _arrays(readout)
  about = {"reads": list(readout.reads), "folds": len(readout.folds), "about": dict(readout.about)}
  arrays["about"] = np.frombuffer(json.dumps(about, sort_keys=True).encode(), np.uint8)
  arrays["hash"] = np.array(_digest(arrays))
  with files.appearing(folder / READOUT) as partial, partial.open("wb") as file:
    np.savez_compressed(file, **arrays)


def saved(folder: Path, step: int) -> Readout | None:
  """What `save` wrote for the checkpoint of this step; None where there is none, or of another.

  Raises:
    BadInputError: the file is damaged.
  """
  path = folder / READOUT
  if not path.is_file():
    return None
  try:
    arrays = files.read_arrays(path)
    if str(arrays.pop("hash")) != _digest(arrays):
      raise ValueError("its hash has changed")
    about = json.loads(arrays["about"].tobytes())
  except (OSError, ValueError, KeyError) as error:
    raise BadInputError(
      path, "content", f"damaged ({error})", "what pretraining wrote",
      "delete it and run the command of the training once more: it only writes this file",
    ) from error  # fmt: skip
  if about["about"]["step"] != step:
    return None
  whole, *folds = (_part(arrays, number) for number in range(about["folds"] + 1))
  columns = {name: arrays[name] for name in _COLUMNS}
  return Readout(whole, tuple(folds), **columns, reads=tuple(about["reads"]), about=about["about"])


_COLUMNS = ("mean", "reliability", "reliability_sd", "ceiling")
_PARTS = ("weights", "loadings", "gallery", "values")


def _arrays(readout: Readout) -> dict[str, np.ndarray]:
  arrays = {name: getattr(readout, name).astype(np.float32) for name in _COLUMNS}
  arrays["components"] = readout.whole.components  # the same of every part
  for number, part in enumerate((readout.whole, *readout.folds)):
    arrays |= {f"{number}/{name}": getattr(part, name) for name in _PARTS}
  return arrays


def _part(arrays: Mapping[str, np.ndarray], number: int) -> Regression:
  own = {name: arrays[f"{number}/{name}"] for name in _PARTS}
  return Regression(**own, components=arrays["components"])


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
  digest = hashlib.sha256()
  for name in sorted(arrays):
    digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
    digest.update(np.ascontiguousarray(arrays[name]).tobytes())
  return digest.hexdigest()[:16]


def _of_genes(part: Regression, genes: Int[np.ndarray, " column"] | slice) -> Regression:
  return dataclasses.replace(
    part, loadings=part.loadings[:, genes], components=part.components[:, genes]
  )
