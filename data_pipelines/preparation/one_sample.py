"""Whether two sections are one sample under two names, which could lie on both sides of a split."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from data_pipelines.problems import BadInputError
from data_pipelines.readers.joins import place_of
from data_pipelines.section import Section

_ALIKE = 0.98
"""Correlation of depths by which two sections are one sample. Among 52 real sections of
five studies one pair lies above, at 1.000: a public data set holds a section twice, with other
spots. The next has 0.96."""

_LEAST, _MIN_SHARE = 50, 0.5
"""Spots that both name, and their share of the smaller section's."""

_DEEPEST, _MEET = 32, 8
"""Of the deepest spots of one sample many are the deepest of the other: it saves comparing all."""


@dataclasses.dataclass(frozen=True)
class Sample:
  """What a section is known by, whatever it is called.

  Attributes:
    donor: its donor's name.
    content: `content_hash`.
    places: what the name of each spot says of its place, without repeats, sorted.
    depths: log1p of the counts of each of these.
  """

  donor: str
  content: str
  places: np.ndarray
  depths: Float[np.ndarray, " spot"]

  @classmethod
  def of(cls, section: Section) -> Sample:
    places, first = np.unique([place_of(str(i))[0] for i in section.spot_ids], return_index=True)
    depths = np.log1p(np.asarray(section.counts.sum(axis=1), np.float64).ravel())
    return cls(section.donor_id, content_hash(section), places, depths[first])

  @property
  def deepest(self) -> frozenset[str]:
    return frozenset(self.places[np.argsort(-self.depths, kind="stable")[:_DEEPEST]].tolist())

  def likeness(self, other: Sample) -> tuple[float, int]:
    """Correlation of the depths of spots that both name, and their number; 0 where they are few."""
    if len(self.deepest & other.deepest) < _MEET:
      return 0.0, 0
    shared, own, others = np.intersect1d(self.places, other.places, True, return_indices=True)
    least = max(_LEAST, _MIN_SHARE * min(len(self.places), len(other.places)))
    depths = self.depths[own], other.depths[others]
    if len(shared) < least or not all(np.ptp(values) for values in depths):
      return 0.0, 0
    return float(np.corrcoef(*depths)[0, 1]), len(shared)


def content_hash(section: Section) -> str:
  """A hash of the counts that does not change with names or the order of spots and genes."""
  counts = section.counts
  digest = hashlib.sha256(np.asarray(counts.shape, np.int64).tobytes())
  spots, genes = (np.asarray(counts.sum(axis), np.int64).ravel() for axis in (1, 0))
  squares = np.asarray(counts.multiply(counts).sum(1), np.int64).ravel()
  order = np.lexsort((squares, spots))
  for values in (spots[order], squares[order], np.sort(genes)):
    digest.update(values.tobytes())
  return digest.hexdigest()[:32]


def twin(sample: Sample, others: Mapping[str, Sample]) -> str:
  """What one of the others has in common with a sample that only the same one has; else empty.

  Of one donor it does no harm to have spots of a sample twice: they stay on one side of a split.
  """
  for name, other in others.items():
    if sample.content == other.content:
      return f"the same count matrix as in section {name}"
    likeness, spots = (0.0, 0) if sample.donor == other.donor else sample.likeness(other)
    if likeness > _ALIKE:
      return (
        f"the depths of section {name} (correlation {likeness:.3f} over {spots:,} spots of the "
        f"same names), which is of donor {other.donor}"
      )
  return ""


def refuse_twin(name: str, sample: Sample, others: Mapping[str, Sample]) -> None:
  """Stops where a section is another one once more: one of them could leak into the test set.

  Raises:
    BadInputError: naming both.
  """
  if found := twin(sample, others):
    fix = f"leave one of them out with --sections, or delete its folder: {name}"
    if found.startswith("the depths"):
      fix += "; if both are of one donor, say so in the metadata table"
    raise BadInputError(name, "counts", found, "each section once", fix)
