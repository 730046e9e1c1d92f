"""Statistics of each section over its counts: the tables that models read.

Every quantity is defined on counts over the gene panel. With f = a gene's share of a spot's counts:
log expression = log1p(1e4 f); z = (log expression - its mean) / max(its standard deviation, 0.1),
clipped to [-10, 10], on measured genes and 0 elsewhere. The model computes the same on the device.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float

SCALE = 1e4
MIN_LOG_STD = 0.1
MAX_Z = 10.0
MIN_ACTIVITY_STD = 1e-3
MIN_MEMBERS = 3
"""A pathway with fewer measured genes than this says nothing about a section."""

_ROWS = 512
"""Spots made dense at a time."""

Members = Bool[np.ndarray, "pathway gene"] | scipy.sparse.csr_matrix
"""Genes of each pathway, over the panel."""


@dataclasses.dataclass(frozen=True)
class SectionTable:
  """One section's row of every table; attributes as in `hibio.batch.SectionStatistics`."""

  measured: Bool[np.ndarray, " gene"]
  num_spots: float
  document_frequency: Float[np.ndarray, " gene"]
  mean_fraction: Float[np.ndarray, " gene"]
  log_mean: Float[np.ndarray, " gene"]
  log_std: Float[np.ndarray, " gene"]
  activity_mean: Float[np.ndarray, " pathway"]
  activity_std: Float[np.ndarray, " pathway"]


def fractions(counts: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix:
  """Each gene's share of its spot's counts; 0 in a spot without counts."""
  totals = np.asarray(counts.sum(axis=1), np.float64).ravel()
  shares = counts.data / np.repeat(np.maximum(totals, 1.0), np.diff(counts.indptr))
  return scipy.sparse.csr_matrix((shares, counts.indices, counts.indptr), shape=counts.shape)


def log_expression(counts: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix:
  """log1p(1e4 f), sparse like the counts."""
  shares = fractions(counts)
  return scipy.sparse.csr_matrix(
    (np.log1p(SCALE * shares.data), shares.indices, shares.indptr), shape=shares.shape
  )


def standardised(
  counts: scipy.sparse.csr_matrix,
  measured: Bool[np.ndarray, " gene"],
  log_mean: Float[np.ndarray, " gene"],
  log_std: Float[np.ndarray, " gene"],
) -> Iterator[Float[np.ndarray, "spot gene"]]:
  """z of every gene, dense, a few hundred spots at a time."""
  logs = log_expression(counts)
  scale = np.where(measured, 1.0 / np.maximum(log_std, MIN_LOG_STD), 0.0)
  for start in range(0, counts.shape[0], _ROWS):
    z = (logs[start : start + _ROWS].toarray() - log_mean) * scale
    yield np.clip(z, -MAX_Z, MAX_Z)


def activity(
  counts: scipy.sparse.csr_matrix,
  measured: Bool[np.ndarray, " gene"],
  log_mean: Float[np.ndarray, " gene"],
  log_std: Float[np.ndarray, " gene"],
  membership: Members,
) -> Float[np.ndarray, "spot pathway"]:
  """Mean z over a pathway's measured genes minus mean z over all measured genes of the spot.

  0 for pathways with fewer than `MIN_MEMBERS` measured genes.
  """
  return activity_of(measured, log_mean, log_std, membership)(counts)


def activity_of(
  measured: Bool[np.ndarray, " gene"],
  log_mean: Float[np.ndarray, " gene"],
  log_std: Float[np.ndarray, " gene"],
  membership: Members,
) -> Callable[[scipy.sparse.csr_matrix], Float[np.ndarray, "spot pathway"]]:
  """`activity` of a section, as a function of its counts.

  A gene that a spot does not show has the same z in every spot. Only how far the others are from
  theirs is multiplied by the pathways: the work is that of the counts that are not 0. In single
  precision, and a few hundred spots at a time, so that what is worked on stays in the cache.
  """
  log_mean, log_std = log_mean.astype(np.float64), log_std.astype(np.float64)
  scale = np.where(measured, 1.0 / np.maximum(log_std, MIN_LOG_STD), 0.0)
  unseen = np.clip(-log_mean * scale, -MAX_Z, MAX_Z)
  genes = max(measured.sum(), 1)
  usable, weights = _weights(_measured_members(membership, measured))
  of_unseen = weights.T @ unseen - unseen.sum() / genes
  in_sets = weights.getnnz(axis=1) > 0
  weights = weights.astype(np.float32)
  tables = [table.astype(np.float32) for table in (scale, -log_mean * scale, unseen)]

  def scores(counts: scipy.sparse.csr_matrix) -> Float[np.ndarray, "spot pathway"]:
    out = np.zeros((counts.shape[0], membership.shape[0]))
    for start in range(0, counts.shape[0], _ROWS // 2):
      rows = slice(start, start + _ROWS // 2)
      above = _above_unseen(counts[rows], *tables)
      rest = np.asarray(above.sum(axis=1)) / genes
      out[rows, usable] = (_columns(above, in_sets) @ weights).toarray() - rest + of_unseen
    return out

  return scores


def _above_unseen(
  counts: scipy.sparse.csr_matrix,
  scale: Float[np.ndarray, " gene"],
  shift: Float[np.ndarray, " gene"],
  unseen: Float[np.ndarray, " gene"],
) -> scipy.sparse.csr_matrix:
  """z of the genes that a spot shows, less what it is where they are not shown."""
  gene = counts.indices
  totals = np.maximum(np.asarray(counts.sum(axis=1), np.float64).ravel(), 1.0)
  z = np.repeat((SCALE / totals).astype(np.float32), np.diff(counts.indptr))
  z *= counts.data.astype(np.float32)
  np.log1p(z, out=z)
  z *= scale.take(gene, mode="clip")  # as indexing, but nothing is checked
  z += shift.take(gene, mode="clip")
  np.clip(z, -MAX_Z, MAX_Z, out=z)
  z -= unseen.take(gene, mode="clip")
  return scipy.sparse.csr_matrix((z, gene, counts.indptr), shape=counts.shape)


def _columns(
  values: scipy.sparse.csr_matrix, wanted: Bool[np.ndarray, " gene"]
) -> scipy.sparse.csr_matrix:
  """Without what stands in the other columns; these stay, empty."""
  kept = np.flatnonzero(wanted.take(values.indices, mode="clip"))
  return scipy.sparse.csr_matrix(
    (values.data[kept], values.indices[kept], np.searchsorted(kept, values.indptr)),
    shape=values.shape,
  )


def _measured_members(
  membership: Members, measured: Bool[np.ndarray, " gene"]
) -> scipy.sparse.csr_matrix:
  """Members that a section measures; a second table as large as the first might not fit."""
  if scipy.sparse.issparse(membership):
    return _columns(membership, measured)
  rows = range(0, max(len(membership), 1), _ROWS)
  parts = [scipy.sparse.csr_matrix(membership[start : start + _ROWS] & measured) for start in rows]
  return scipy.sparse.vstack(parts, format="csr")


def _weights(
  members: scipy.sparse.csr_matrix,
) -> tuple[Bool[np.ndarray, " pathway"], scipy.sparse.csr_matrix]:
  """Which pathways have enough members, and the mean over these as a matrix, `[gene, pathway]`."""
  sizes = np.diff(members.indptr)
  usable = sizes >= MIN_MEMBERS
  chosen, sizes = members[usable], sizes[usable]
  weights = scipy.sparse.csr_matrix(
    (np.repeat(1.0 / np.maximum(sizes, 1), sizes), chosen.indices, chosen.indptr), chosen.shape
  )
  return usable, weights.T.tocsr()


def section_table(
  counts: scipy.sparse.csr_matrix,
  measured: Bool[np.ndarray, " gene"],
  membership: Members,
) -> SectionTable:
  """The tables' row of one section, from its counts over the panel. Deviations are population's."""
  return streamed_table(lambda: [counts], measured, membership)


def streamed_table(
  pieces: Callable[[], Iterable[scipy.sparse.csr_matrix]],
  measured: Bool[np.ndarray, " gene"],
  membership: Members,
) -> SectionTable:
  """As `section_table`, of counts that are read piece by piece and never all at once.

  However the spots are cut into pieces, the numbers are the same to the last bit.

  Args:
    pieces: hands over the counts from the beginning; it is called twice if there are pathways.
  """
  first = _Sums(("documents", "share", "log", "square"), len(measured))
  for block in _blocks(pieces()):
    logs = log_expression(block)
    first.add(
      block.shape[0],
      documents=block.getnnz(axis=0),
      share=fractions(block).sum(axis=0),
      log=logs.sum(axis=0),
      square=logs.multiply(logs).sum(axis=0),
    )
  log_mean, log_std = first.mean("log"), first.deviation("log", "square")
  activity_mean, activity_std = activity_statistics(pieces, measured, log_mean, log_std, membership)
  return SectionTable(
    measured=measured,
    num_spots=float(first.spots),
    document_frequency=first.total["documents"].astype(np.float32),
    mean_fraction=first.mean("share").astype(np.float32),
    log_mean=log_mean.astype(np.float32),
    log_std=log_std.astype(np.float32),
    activity_mean=activity_mean,
    activity_std=activity_std,
  )


def activity_statistics(
  pieces: Callable[[], Iterable[scipy.sparse.csr_matrix]],
  measured: Bool[np.ndarray, " gene"],
  log_mean: Float[np.ndarray, " gene"],
  log_std: Float[np.ndarray, " gene"],
  membership: Members,
) -> tuple[Float[np.ndarray, " pathway"], Float[np.ndarray, " pathway"]]:
  """Mean and standard deviation of each pathway's activity over a section's spots.

  0 and 1 for pathways with fewer than `MIN_MEMBERS` measured genes.

  Args:
    pieces: hands over the counts from the beginning; it is not called if there are no pathways.
  """
  usable = np.diff(_measured_members(membership, measured).indptr) >= MIN_MEMBERS
  scores_of = activity_of(measured, log_mean, log_std, membership)
  sums = _Sums(("score", "square"), membership.shape[0])
  for block in _blocks(pieces()) if usable.any() else ():
    scores = scores_of(block)
    sums.add(block.shape[0], score=scores.sum(axis=0), square=(scores**2).sum(axis=0))
  deviation = np.maximum(sums.deviation("score", "square"), MIN_ACTIVITY_STD)
  return (
    sums.mean("score").astype(np.float32),
    np.where(usable, deviation, 1.0).astype(np.float32),
  )


class _Sums:
  """Sums over spots of several quantities, in double precision."""

  def __init__(self, names: Sequence[str], width: int):
    self.spots, self.total = 0, {name: np.zeros(width) for name in names}

  def add(self, spots: int, **values) -> None:
    self.spots += spots
    for name, value in values.items():
      self.total[name] += np.asarray(value).ravel()

  def mean(self, name: str) -> np.ndarray:
    return self.total[name] / max(self.spots, 1)

  def deviation(self, name: str, square: str) -> np.ndarray:
    return np.sqrt(np.maximum(self.mean(square) - self.mean(name) ** 2, 0.0))


def _blocks(pieces: Iterable[scipy.sparse.csr_matrix]) -> Iterator[scipy.sparse.csr_matrix]:
  """The same spots, `_ROWS` at a time: sums then do not depend on how they were cut."""
  waiting: list[scipy.sparse.csr_matrix] = []
  rows = 0
  for piece in pieces:
    waiting.append(piece)
    rows += piece.shape[0]
    if rows >= _ROWS:
      joined = scipy.sparse.vstack(waiting, format="csr") if len(waiting) > 1 else piece
      whole = rows - rows % _ROWS
      for start in range(0, whole, _ROWS):
        yield joined[start : start + _ROWS]
      waiting, rows = [joined[whole:]], rows - whole
  if rows:
    yield scipy.sparse.vstack(waiting, format="csr")


def corpus_statistics(
  tables: Sequence[SectionTable], training: Bool[np.ndarray, " section"]
) -> dict[str, np.ndarray]:
  """The fields of `hibio.batch.SectionStatistics` that counts alone give, sections stacked.

  Args:
    training: which sections the corpus-wide background is taken from, as in `background`.
  """
  stacked = {
    field.name: np.stack([getattr(table, field.name) for table in tables])
    for field in dataclasses.fields(SectionTable)
  }
  stacked["num_spots"] = stacked["num_spots"].astype(np.float32)
  return {**stacked, **background(stacked, training)}


def background(
  stacked: Mapping[str, np.ndarray], training: Bool[np.ndarray, " section"]
) -> dict[str, np.ndarray]:
  """How common each gene is over the corpus: its document share and its mean fraction.

  Args:
    stacked: fields of `SectionTable`, sections stacked.
    training: which sections it is taken from; all of them where none is marked. A gene that none
      of these measures has the background of the others that do, else a document share of 1 and a
      mean fraction of 0.
  """
  shares = (stacked["document_frequency"] + 1.0) / (stacked["num_spots"][:, None] + 2.0)
  measured, mean_fraction = stacked["measured"], stacked["mean_fraction"]
  return {
    "corpus_document_share": over_sections(shares, measured, training, 1.0),
    "corpus_mean_fraction": over_sections(mean_fraction, measured, training, 0.0),
  }


def over_sections(
  values: Float[np.ndarray, "section gene"],
  measured: Bool[np.ndarray, "section gene"],
  training: Bool[np.ndarray, " section"],
  otherwise: float,
) -> Float[np.ndarray, " gene"]:
  """Mean over the training sections that measure a gene; over all sections where none is marked.

  Args:
    otherwise: of genes that no section measures.
  """
  chosen = measured & (training if training.any() else np.ones_like(training))[:, None]
  chosen = np.where(chosen.any(axis=0), chosen, measured)
  number = chosen.sum(axis=0)
  total = np.where(chosen, values, 0.0).sum(axis=0, dtype=np.float64)
  return np.where(number > 0, total / np.maximum(number, 1), otherwise).astype(np.float32)
