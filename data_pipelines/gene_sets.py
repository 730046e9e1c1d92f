"""Gene sets: from GMT files, laid over a gene panel, and what the manifest says of them."""

from __future__ import annotations

import collections
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Bool

from data_pipelines.files import sha256
from data_pipelines.genes import GenePanel, guess_species
from data_pipelines.problems import BadInputError
from data_pipelines.text_files import read_text

_SHARED = 0.05
"""Of genes that two species write alike, such as those of men and pigs, more are shared."""

_ROWS = 128
"""Gene sets that are compared with all others at a time."""


class Pathways(NamedTuple):
  """Gene sets over a panel.

  Attributes:
    names: of the sets.
    membership: their genes, `[pathway, gene]`: dense, tens of thousands of sets would be gigabytes.
    about: the manifest's entry "gene_sets"; another entry is another corpus.
  """

  names: tuple[str, ...]
  membership: scipy.sparse.csr_matrix
  about: dict[str, Any]

  @classmethod
  def none(cls, panel: GenePanel) -> Pathways:
    """No gene sets."""
    about = {"names": [], "sources": [], "dropped": {}}
    return cls((), scipy.sparse.csr_matrix((0, len(panel)), dtype=bool), about)

  @classmethod
  def read(cls, paths: Sequence[str | os.PathLike], panel: GenePanel) -> Pathways:
    """The sets of GMT files that are worth keeping over the panel.

    Raises:
      BadInputError: a file that cannot be read, or no set worth keeping.
    """
    names, members, dropped = _worth_keeping(read_collections(paths), panel)
    files = [{"file": Path(path).name, "sha256": sha256(Path(path))} for path in paths]
    return cls(names, members, {"names": list(names), "sources": files, "dropped": dropped})

  @classmethod
  def random(
    cls, like: Bool[np.ndarray, "pathway gene"], measured: Bool[np.ndarray, " gene"], seed: int
  ) -> Pathways:
    """A control for what curated sets know: for each set as many genes, drawn at random.

    Args:
      like: members of the sets that sizes are taken from; only measured ones count.
      measured: genes to draw from, each of them equally often.
      seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    candidates = np.flatnonzero(measured)
    members = np.zeros_like(like)
    for row, size in enumerate((like & measured).sum(axis=1)):
      members[row, rng.choice(candidates, size, replace=False)] = True
    # Names of their own: a checkpoint's anchors are found again by name.
    names = tuple(f"random {row + 1}" for row in range(len(like)))
    drawn = {"random": True, "seed": seed, "sizes": members.sum(axis=1).tolist()}
    about = {"names": list(names), "sources": [drawn], "dropped": {}}
    return cls(names, scipy.sparse.csr_matrix(members), about)


def read_gmt(path: str | os.PathLike) -> dict[str, tuple[str, ...]]:
  """Name -> genes of each set, in the file's order.

  Column 2 (a link, an id, or nothing) is not read. Sets of one name are merged; a gene counts once.

  Raises:
    BadInputError: no gene set in the file, or a line that is not tab-separated.
  """
  path = Path(path)
  sets: dict[str, list[str]] = collections.defaultdict(list)
  for number, line in enumerate(read_text(path).split("\n"), 1):
    if not line.strip():
      continue
    cells = [cell.strip() for cell in line.split("\t")]
    if len(cells) < 2 or not cells[0]:
      raise BadInputError(
        path,
        f"line {number}",
        repr(line[:60]),
        "name, description, genes, separated by tabs",
        "export the gene sets in GMT format",
      )
    # Enrichr writes weights after a comma: "TP53,1.0". A gene of many sets is one string.
    sets[cells[0]] += [sys.intern(gene.partition(",")[0]) for gene in cells[2:] if gene]
  if not any(sets.values()):
    raise BadInputError(path, "gene sets", "none", "at least one", "give a GMT file with genes")
  return {name: tuple(dict.fromkeys(genes)) for name, genes in sets.items()}


def read_collections(paths: Sequence[str | os.PathLike]) -> dict[str, tuple[str, ...]]:
  """The sets of several GMT files; a name that an earlier file has begins with its file's name.

  Raises:
    BadInputError: as `read_gmt`.
  """
  sets: dict[str, tuple[str, ...]] = {}
  for path in map(Path, paths):
    for name, genes in read_gmt(path).items():
      sets[f"{path.stem}: {name}" if name in sets else name] = genes
  return sets


def check_species(
  sets: Mapping[str, tuple[str, ...]], ids: np.ndarray, symbols: np.ndarray
) -> None:
  """Refuses gene sets of another species than a section's genes.

  Args:
    ids: of the genes of a section.
    symbols: of the same genes.

  Raises:
    BadInputError: gene sets and these genes are of different species, and hardly one is in both.
  """
  genes = np.array(list({gene: None for of in sets.values() for gene in of}), object)
  of_sets, of_genes = guess_species(genes, genes), guess_species(ids, symbols)
  if None in (of_sets, of_genes) or of_sets == of_genes:
    return
  shared = len(set(genes.tolist()) & {*ids.tolist(), *symbols.tolist()})
  if shared < _SHARED * min(len(genes), len(ids)):
    raise BadInputError(
      "gene sets",
      "genes",
      f"those of {of_sets} (their names look like {genes[0]})",
      f"{of_genes}, as the sections are (their names look like {symbols[0]})",
      "give gene sets of the same species, or name the sections' genes by their orthologs with "
      "--gene_names",
    )


def membership(
  sets: Mapping[str, tuple[str, ...]],
  panel: GenePanel,
  *,
  min_genes: int = 5,
  max_genes: int = 300,
  max_jaccard: float = 0.5,
) -> tuple[tuple[str, ...], Bool[np.ndarray, "pathway gene"], dict[str, int]]:
  """The sets worth keeping over the panel, by name, with their members and what was left out.

  Args:
    sets: name -> genes, by symbol or by id.
    panel: genes of the columns.
    min_genes: fewest members on the panel.
    max_genes: most members on the panel.
    max_jaccard: of two sets that share more than this (common members / all members), the larger
      stays; of two equally large, the one whose name comes first.

  Raises:
    BadInputError: no set is left.
  """
  names, members, dropped = _worth_keeping(
    sets, panel, min_genes=min_genes, max_genes=max_genes, max_jaccard=max_jaccard
  )
  return names, members.toarray(), dropped


def _worth_keeping(
  sets: Mapping[str, tuple[str, ...]],
  panel: GenePanel,
  *,
  min_genes: int = 5,
  max_genes: int = 300,
  max_jaccard: float = 0.5,
) -> tuple[tuple[str, ...], scipy.sparse.csr_matrix, dict[str, int]]:
  """As `membership`, with the members sparse."""
  rows = panel.rows(tuple({gene for genes in sets.values() for gene in genes}))
  members = _members(sets, rows, len(panel))
  sizes = np.diff(members.indptr)
  dropped = {
    f"gene sets with fewer than {min_genes} genes of the panel": int((sizes < min_genes).sum()),
    f"gene sets with more than {max_genes} genes of the panel": int((sizes > max_genes).sum()),
  }
  names = list(sets)
  candidates = [n for n in range(len(names)) if min_genes <= sizes[n] <= max_genes]
  if not candidates:
    example = next((g for genes in sets.values() for g in genes), "none")
    raise BadInputError(
      "gene sets",
      "genes",
      f"no set of {len(names)} with {min_genes} to {max_genes} genes of the panel "
      f"(their names look like {example})",
      f"gene names like {', '.join(panel.symbols[:3])}",
      "give gene sets of the same species and kind of name",
    )
  candidates.sort(key=lambda n: (-sizes[n], names[n]))
  kept = [candidates[n] for n in _unlike(members[candidates], max_jaccard)]
  dropped["gene sets nearly the same as a larger one"] = len(candidates) - len(kept)
  chosen = sorted(kept, key=lambda n: names[n])
  return (
    tuple(names[n] for n in chosen),
    members[chosen],
    {reason: count for reason, count in dropped.items() if count},
  )


def _members(
  sets: Mapping[str, tuple[str, ...]], rows: Mapping[str, int], num_genes: int
) -> scipy.sparse.csr_matrix:
  """[set, gene], sparse: tens of thousands of sets over a whole panel are gigabytes otherwise."""
  found = [sorted({rows[gene] for gene in genes if gene in rows}) for genes in sets.values()]
  indptr = np.r_[0, np.cumsum([len(genes) for genes in found])]
  genes = np.fromiter((gene for one in found for gene in one), np.int64, int(indptr[-1]))
  return scipy.sparse.csr_matrix(
    (np.ones(len(genes), bool), genes, indptr), shape=(len(found), num_genes)
  )


def _unlike(members: scipy.sparse.csr_matrix, max_jaccard: float) -> list[int]:
  """Rows that share at most so much with every earlier row that is kept."""
  members = members.astype(np.int32)
  sets_of_gene = members.T.tocsr()
  sizes = np.diff(members.indptr)
  kept = np.zeros(len(sizes), bool)
  for start in range(0, len(sizes), _ROWS):
    common = (members[start : start + _ROWS] @ sets_of_gene).tocoo()
    row, other = common.row + start, common.col
    near = (other < row) & (common.data > max_jaccard * (sizes[row] + sizes[other] - common.data))
    row, other = row[near], other[near]
    for number in range(start, min(start + _ROWS, len(sizes))):
      kept[number] = not kept[other[row == number]].any()
  return np.flatnonzero(kept).tolist()
