"""A hand-made report with every kind of exhibit and names that try to break out of the page."""

import numpy as np
import pytest

from hibio.evaluation.rows import Row
from hibio.report.exhibits import (
  Absent,
  Confusion,
  Exhibits,
  GroupMap,
  Hit,
  MapRow,
  Retrieval,
  Tissue,
  ValueMap,  # fmt: skip
)
from hibio.report.page import About

HOSTILE = '<script>alert("x")</script>\'"><img src=https://example.org/x onerror=alert(1)>'
"""A name that a section, a label, a gene, a method or a note could have."""


def row(task, method, value, **other) -> Row:
  """A row with everything that a test does not care for filled in."""
  fields = {
    "dataset": "corpus", "protocol": "some protocol", "split": "donors D4, D5",
    "metric": "some_metric", "n": 100, "chance": 0.1,
  }  # fmt: skip
  return Row(task=task, method=method, value=value, **{**fields, **other})


@pytest.fixture(scope="session")
def rows() -> list[Row]:
  found = []
  for task, protocol, metric in (
    ("retrieval", "image_to_gene, gallery: section, 90 spots", "recall@5"),
    ("annotation", "linear probe, leaf", "balanced_accuracy"),
    ("domains", "k-means, k = 6 labels of leaf, no smoothing", "ari"),
  ):
    common = {"protocol": protocol, "metric": metric, "chance": 0.0512}
    found += [
      row(task, "hibio/image", 0.6123, spread=0.0123, parts={"D4": 0.6, "D5": 0.62}, **common),
      row(
        task,
        "untrained/image",
        0.2234,
        spread=0.0234,
        note="as the model, but with random weights",
        **common,
      ),
      row(task, "colour/image", 0.3345, spread=0.0345, **common),
      row(task, "pca/gene", None, note="no section measures these genes", **common),
    ]
  found.append(row("annotation", "hibio/image", 0.99, protocol=HOSTILE, metric="f1", note=HOSTILE))
  return found


@pytest.fixture(scope="session")
def exhibits() -> Exhibits:
  rng = np.random.default_rng(0)
  grid = np.stack(np.meshgrid(np.arange(8), np.arange(6)), -1).reshape(-1, 2)
  positions = 100.0 * grid + 300.0
  n = len(positions)
  names = ("S1", HOSTILE)
  tissues = (
    Tissue("S1", "D4", rng.integers(0, 255, (300, 300, 3)).astype(np.uint8), 4.0, positions),
    Tissue(HOSTILE, "D5", None, 1.0, positions),
  )
  classes = ("stroma", HOSTILE)
  labels = {name: np.array(classes)[rng.integers(0, 2, n)] for name in names}
  regions = {name: rng.integers(-1, 30, n).astype(str) for name in names}
  values = {name: np.where(rng.random(n) < 0.1, np.nan, rng.random(n)) for name in names}
  patch = rng.integers(0, 255, (32, 32, 3)).astype(np.uint8)
  hits = tuple(
    Hit(patch, name, 0.9, distance, ("KRT19", HOSTILE), own)
    for name, distance, own in (("S1", 0.0, True), ("S1", 400.0, False), (HOSTILE, None, False))
  )
  return Exhibits(
    tissues=tissues,
    map_rows=(
      MapRow("domains", "Domains", "How it is made.", [
        GroupMap("leaf", labels, classes=classes), GroupMap("regions", regions),
      ]),
      MapRow("expression", "Genes", "", [
        ValueMap("KRT19", "log1p", values), ValueMap(HOSTILE, "sd", values, {"S1": "r 0.41"}),
      ]),
    ),
    confusions=(Confusion("annotation", HOSTILE, classes, np.array([[30, 10], [0, 0]])),),
    retrievals=(Retrieval(patch, "S1", 3, 96, ("KRT19",), hits),),
    retrievals_explained="Drawn at random.",
    curves=tuple({"step": step, "stage": "spot", "loss/spot": 5.0 / step} for step in (1, 2, 3)),
    absent=(Absent("anchors", "Pathways", "the corpus was prepared without gene sets"),),
  )  # fmt: skip


@pytest.fixture(scope="session")
def about() -> About:
  return About(
    command=f"python -m experiments.evaluate --output={HOSTILE}",
    date="2026-01-02T03:04:05+00:00",
    checkpoint={
      "step": 400,
      "num_parameters": 1_234_567,
      "config": {"model": {"keywords": {"score": "surprisal"}, "name": HOSTILE}},
      "corpus": {"splits": {"train": ["D1", HOSTILE]}},
    },
    corpus=HOSTILE,
    fingerprint="0123456789abcdef",
    splits={"train": ["D1"], "validation": [], "test": ["D4", "D5"]},
    sections=({"section": HOSTILE, "donor": "D4", "split": "test", "spots": 96},),
    versions={"jax": "0.10.2"},
    alarms={"cone_gene": 120},
  )
