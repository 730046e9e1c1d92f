"""The gene sets of a corpus: their names, their members, and what the manifest says of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from data_pipelines import gene_sets
from data_pipelines.genes import GenePanel
from data_pipelines.preparation.shards import sha256


class Pathways(NamedTuple):
  """Gene sets over a panel.

  Attributes:
    names: of the sets.
    membership: their genes.
    about: the manifest's entry "gene_sets"; another entry is another corpus.
  """

  names: tuple[str, ...]
  membership: Bool[np.ndarray, "pathway gene"]
  about: dict[str, Any]


def none(panel: GenePanel) -> Pathways:
  """No gene sets."""
  return Pathways((), np.zeros((0, len(panel)), bool), {"names": [], "sources": [], "dropped": {}})


def of_files(paths: Sequence[str | os.PathLike], panel: GenePanel) -> Pathways:
  """The sets of GMT files that are worth keeping over the panel.

  Raises:
    BadInputError: a file that cannot be read, or no set worth keeping.
  """
  names, members, dropped = gene_sets.membership(gene_sets.read_collections(paths), panel)
  files = [{"file": Path(path).name, "sha256": sha256(Path(path))} for path in paths]
  return Pathways(names, members, {"names": list(names), "sources": files, "dropped": dropped})


def random_sets(
  like: Bool[np.ndarray, "pathway gene"], measured: Bool[np.ndarray, " gene"], seed: int
) -> Pathways:
  """A control for what curated sets know: for each set as many genes, drawn without regard to it.

  Args:
    like: members of the sets that sizes are taken from; only measured ones count.
    measured: genes to draw from, each of them equally often.
  """
  rng = np.random.default_rng(seed)
  candidates = np.flatnonzero(measured)
  members = np.zeros_like(like)
  for row, size in enumerate((like & measured).sum(axis=1)):
    members[row, rng.choice(candidates, size, replace=False)] = True
  # Names of their own: a checkpoint's anchors are found again by name.
  names = tuple(f"random {row + 1}" for row in range(len(like)))
  drawn = {"random": True, "seed": seed, "sizes": members.sum(axis=1).tolist()}
  return Pathways(names, members, {"names": list(names), "sources": [drawn], "dropped": {}})
