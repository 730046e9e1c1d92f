"""The planted truth of synthetic tissue, aligned to a corpus: keyword genes, perfect readers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from data_pipelines.genes import GenePanel
from hibio.evaluation.baselines.base import Features, Given
from hibio.evaluation.cohort import Cohort


def truth_of(corpus_path: Path) -> Path | None:
  """`truth.json` of the synthetic tissue that a corpus was prepared from, if it is one."""
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


def perfect_features(path: Path, spots: pd.DataFrame) -> dict[str, Float[np.ndarray, "spot width"]]:
  """What readers without any error would know of each spot: ceilings of linear probes, no methods.

  k-means may do better with less: programs that cross all regions are no noise to it.

  "gene" is the activity of every program, without the noise of counting. "image" is all that was
  drawn: shares of the leaf regions, fields and activities, but for what no image shows.

  Args:
    path: of `truth.json`.
    spots: with columns `section_id` and `spot_id`.
  """
  truth = json.loads(path.read_text())
  names = spots["section_id"].unique()
  tables = [pd.read_parquet(path.parent / name / "truth.parquet") for name in names]
  drawn = pd.concat(tables, keys=names).reset_index(level=0, names="section_id")
  drawn = drawn.set_index(["section_id", "barcode"])
  drawn = drawn.loc[pd.MultiIndex.from_frame(spots[["section_id", "spot_id"]])]
  hidden = {f"activity/{one}" for one in truth["silent_programs"]}
  hidden |= {f"field/{truth['field_programs'][one]}" for one in truth["silent_programs"]}
  programs = [name for name in drawn if name.startswith("activity/")]
  seen = [name for name in drawn if name.startswith(("activity/", "field/", "share/"))]
  return {
    "gene": drawn[programs].to_numpy(np.float32),
    "image": drawn[[name for name in seen if name not in hidden]].to_numpy(np.float32),
  }


def expression_oracle(given: Given) -> Features | None:
  """Expression without the noise of counting, where the tissue is synthetic."""
  truth = truth_of(given.corpus.path)
  return None if truth is None else perfect_features(truth, given.cohort.spots)["gene"]


def image_oracle(given: Given) -> Features | None:
  """All that the image shows, where the tissue is synthetic."""
  truth = truth_of(given.corpus.path)
  return None if truth is None else perfect_features(truth, given.cohort.spots)["image"]
