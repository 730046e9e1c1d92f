"""Gene sets that are asked: the corpus', others that resemble none of them, markers of classes."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
from jaxtyping import Bool

from data_pipelines.console import say
from data_pipelines.gene_sets import membership, read_gmt
from data_pipelines.genes import GenePanel
from data_pipelines.loading.corpus import Corpus
from data_pipelines.problems import BadInputError

MAX_JACCARD = 0.5
"""Held-out sets share no more of their genes with any set of training."""


@dataclasses.dataclass(frozen=True)
class GeneSets:
  """Gene sets whose anchors are asked.

  Attributes:
    title: where they come from.
    names: of the sets.
    membership: their genes over the panel.
    trained: whether the model was trained with them; then their anchors have a learned offset.
    notes: what was left out.
  """

  title: str
  names: tuple[str, ...]
  membership: Bool[np.ndarray, "set gene"]
  trained: bool
  notes: tuple[str, ...] = ()


def of_corpus(corpus: Corpus, trained_with: tuple[str, ...]) -> GeneSets:
  """The sets that the corpus was prepared with.

  Args:
    trained_with: names of the sets that the model has anchors of.
  """
  names = corpus.gene_set_names
  known = set(trained_with) & set(names)
  title = f"gene sets of training ({len(names)})"
  if len(known) < len(names):
    title = f"gene sets of the corpus ({len(names)}, {len(known)} of them of training)"
  return GeneSets(title, names, corpus.membership, trained=bool(known))


def held_out(path: str | os.PathLike, corpus: Corpus) -> GeneSets:
  """Sets of a GMT file that resemble none of the corpus', filtered by size like those.

  Raises:
    BadInputError: no set of the file is left.
  """
  names, members, dropped = membership(read_gmt(path), corpus.panel)
  kept = unlike(members, corpus.membership)
  if not kept.any():
    raise BadInputError(
      path, "gene sets", f"none of {len(names)} unlike those of training",
      f"sets that share no more than {MAX_JACCARD:.0%} of their genes with any of them",
      "give another collection",
    )  # fmt: skip
  notes = [f"{reason}: {count}" for reason, count in dropped.items()]
  notes.append(
    f"left out, Jaccard index above {MAX_JACCARD} with a set of training: {(~kept).sum()}"
  )
  return GeneSets(
    f"held-out gene sets, {os.path.basename(path)} ({kept.sum()})",
    tuple(np.array(names)[kept].tolist()),
    members[kept],
    trained=False,
    notes=tuple(notes),
  )


def unlike(
  sets: Bool[np.ndarray, "set gene"],
  known: Bool[np.ndarray, "known gene"],
) -> Bool[np.ndarray, " set"]:
  """Sets that share no more than `MAX_JACCARD` of their genes with any known one."""
  if not len(known):
    return np.ones(len(sets), bool)
  a, b = sets.astype(np.float32), known.astype(np.float32)
  common = a @ b.T
  either = a.sum(1)[:, None] + b.sum(1)[None] - common
  return (common / np.maximum(either, 1.0)).max(1) <= MAX_JACCARD


@dataclasses.dataclass(frozen=True)
class Markers:
  """Gene sets that describe classes.

  Attributes:
    names: of the sets that have a gene on the panel.
    membership: their genes.
  """

  names: tuple[str, ...]
  membership: Bool[np.ndarray, "set gene"]


def markers(path: str | os.PathLike, panel: GenePanel) -> Markers:
  """The sets of a GMT file; unlike those of a corpus they may be small and share their genes.

  Says how many genes of each the panel holds.

  Raises:
    BadInputError: not a GMT file, or none of its genes is on the panel.
  """
  sets = read_gmt(path)
  names, members, _ = membership(sets, panel, min_genes=1, max_genes=len(panel), max_jaccard=1.0)
  found = dict(zip(names, members.sum(1).tolist(), strict=True))
  coverage = ", ".join(f"{name} {found.get(name, 0)}/{len(sets[name])}" for name in sets)
  say(f"marker genes on the panel: {coverage}")
  return Markers(names, members)
