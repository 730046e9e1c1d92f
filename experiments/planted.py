"""The planted truth of embedded tissue, aligned to a corpus: what keyword genes should be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from data_pipelines.genes import GenePanel
from hibio.tasks.cohort import Cohort


def truth_of(corpus_path: Path) -> Path | None:
  """`truth.json` of the embedded tissue that a corpus was prepared from, if it is one."""
  path = corpus_path.parent / "raw" / "truth.json"
  return path if path.is_file() else None


def planted_genes(path: Path, panel: GenePanel, cohort: Cohort) -> np.ndarray:
  """For each spot, which panel genes belong to a program that is on in its leaf region."""
  truth = json.loads(path.read_text())
  genes_of_leaf = {}
  for leaf, programs in truth["leaf_programs"].items():
    genes_of_leaf[leaf] = np.zeros(len(panel), bool)
    for program in programs:
      genes_of_leaf[leaf][list(panel.rows(truth["programs"][program]).values())] = True
  return np.stack([genes_of_leaf[leaf] for leaf in cohort.spots["leaf"].astype(str)])


def housekeeping_genes(path: Path, panel: GenePanel) -> np.ndarray:
  """Which panel genes are planted as housekeeping."""
  mask = np.zeros(len(panel), bool)
  mask[list(panel.rows(json.loads(path.read_text())["housekeeping"]).values())] = True
  return mask


def programs_of_leaves(path: Path) -> dict[str, list[str]]:
  """Leaf region -> the gene sets that are on there, by their names in `programs.gmt`."""
  return json.loads(path.read_text())["leaf_programs"]
