"""What each fold asks: which genes, of which spots, and their expression. Made once for all
features, so that every method answers the same question."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from hibio.tasks import folds as fold_names
from hibio.tasks import gene_lists
from hibio.tasks.cohort import Cohort
from hibio.tasks.folds import Fold
from hibio.tasks.targets import TARGETS


@dataclasses.dataclass(frozen=True)
class FoldGenes:
  """One fold's question.

  Attributes:
    held_out: name of the group that is scored.
    fit: rows of the cohort to fit on: spots with a patch and counts.
    profiles: rows to fit on where counts are enough.
    test: rows to predict: spots with a patch and counts.
    genes: gene list -> panel rows, chosen on `profiles`.
  """

  held_out: str
  fit: Int[np.ndarray, " spot"]
  profiles: Int[np.ndarray, " profile"]
  test: Int[np.ndarray, " query"]
  genes: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Questions:
  """The questions of all folds on one cohort.

  Attributes:
    cohort: what is asked about; features may be added to it later.
    split: the folds in words.
    folds: those that can be asked.
    reasons: why others cannot.
    membership: genes of each gene set over the panel, if there are any.
    values: target -> expression of every spot, for the genes that some list names.
    column: of each panel gene in `values`; -1 if no list names it.
  """

  cohort: Cohort
  split: str
  folds: tuple[FoldGenes, ...]
  reasons: tuple[str, ...]
  membership: Bool[np.ndarray, "pathway gene"] | None
  values: Mapping[str, Float[np.ndarray, "spot listed"]]
  column: Int[np.ndarray, " gene"]

  def expression(
    self, target: str, rows: np.ndarray, genes: np.ndarray
  ) -> Float[np.ndarray, "spot gene"]:
    """Expression of the given spots (rows of the cohort) and genes (rows of the panel)."""
    return self.values[target].take(rows, axis=0).take(self.column[genes], axis=1)


def prepare(
  cohort: Cohort, folds: Sequence[Fold], membership: Bool[np.ndarray, "pathway gene"] | None = None
) -> Questions:
  """Chooses each fold's genes on its fitting spots and lays out the expression to predict.

  Only genes that every section of the fold measures can be asked for. A fold without two spots with
  a patch and counts on both sides, or without such genes, is left out with the reason.
  """
  # Features are wide and not needed here; `row` leads back to the cohort.
  spots = cohort.spots.assign(row=np.arange(len(cohort.spots)))
  bare = dataclasses.replace(cohort, spots=spots, features={}, readout={})
  asked, reasons = [], []
  for fold in folds:
    fit, test = fold.split(bare)
    profiles = fit.subset(fit.spots["has_counts"].to_numpy(bool))
    fit, test = _complete(fit), _complete(test)
    if min(len(fit.spots), len(test.spots)) < 2:
      reasons.append(
        f"{fold.held_out}: spots with patch and counts: {len(fit.spots)} to fit on, "
        f"{len(test.spots)} to score"
      )
      continue
    genes = gene_lists.choose(profiles, gene_lists.measured_everywhere([profiles, test]))
    if not all(map(len, genes.values())):
      reasons.append(f"{fold.held_out}: no gene that every section measures varies")
      continue
    rows = [part.spots["row"].to_numpy() for part in (fit, profiles, test)]
    asked.append(FoldGenes(fold.held_out, *rows, genes))
  listed = np.unique([gene for fold in asked for genes in fold.genes.values() for gene in genes])
  column = np.full(cohort.counts.shape[1], -1)
  column[listed.astype(int)] = np.arange(len(listed))
  values = {
    name: target(cohort.counts)[:, listed.astype(int)].toarray() for name, target in TARGETS.items()
  }
  return Questions(
    cohort,
    fold_names.described(folds),
    tuple(asked),
    tuple(reasons) if folds else ("nothing can be held out",),
    membership,
    values,
    column,
  )


def _complete(cohort: Cohort) -> Cohort:
  return cohort.subset(cohort.spots[["has_patch", "has_counts"]].all(axis=1).to_numpy(bool))
