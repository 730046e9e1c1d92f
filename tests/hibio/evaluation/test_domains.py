import dataclasses

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn import metrics

from hibio.evaluation import clusterers, domains
from hibio.evaluation.clusterers import Clusterer
from hibio.evaluation.cohort import Cohort

SCORES = {"ari", "nmi", "ami", "homogeneity", "layer_f1", "chaos", "pas"}


def _rows(cohort, feature, clusterer="kmeans", **options):
  found = domains.by_clustering(
    cohort, feature, "leaf", "m", "all", clusterers=[clusterer], **options
  )
  return {(row.protocol.rsplit(", ", 1)[1].split()[0], row.metric): row for row in found}


@pytest.fixture
def fixed(monkeypatch):
  """A clusterer that answers with given labels, so that a score can be told beforehand."""

  def use(*runs):
    answer = Clusterer(lambda features, positions, k, seed: np.stack(runs), "fixed", num_tried=9)
    monkeypatch.setitem(clusterers.CLUSTERERS, "fixed", answer)

  return use


def _section(labels, section="s0"):
  """One section in two bands of eight spots."""
  n = len(labels)
  spots = pd.DataFrame(
    {
      "section_id": section, "donor_id": "d", "split": "test", "has_patch": True,
      "has_counts": True, "x_um": np.arange(n) % 4 * 100.0, "y_um": np.arange(n) // 4 * 100.0,
      "leaf": labels,
    }
  )  # fmt: skip
  none = scipy.sparse.csr_matrix((n, 1))
  return Cohort("toy", spots, none, {}, {"x": np.zeros((n, 1), np.float32)})


def test_the_truth_scores_one_in_every_agreement_with_every_clusterer(cohort):
  # Two large sections: a graph of 15 neighbours joins domains that have no more spots than that.
  spots = cohort.spots.assign(section_id=np.where(np.arange(360) < 180, "s0", "s1"))
  jitter = np.random.default_rng(0).normal(0, 0.01, (360, 4)).astype(np.float32)
  truth = cohort.features["truth"] + jitter
  large = dataclasses.replace(cohort, spots=spots, features={"truth": truth})
  rows = list(domains.by_clustering(large, "truth", "leaf", "m", "all", seeds=1))
  assert {row.metric for row in rows} == SCORES
  assert {row.protocol.split(",")[0] for row in rows} == {"k-means", "Ward", "Leiden"}
  # Smoothing mixes these labels: they were dealt out over the tissue at random.
  for row in (row for row in rows if row.protocol.endswith("no smoothing")):
    if row.metric not in ("chaos", "pas"):
      assert row.value == pytest.approx(1.0, abs=1e-6), row
      assert row.chance < 0.4, row  # the same domains dealt out; 0.3 for one of four layers


def test_noise_scores_chance_in_every_metric(cohort):
  for row in domains.by_clustering(cohort, "noise", "leaf", "m", "all", seeds=1):
    # 6 sections of 60 spots: by chance the mean varies by about 0.015; smoothed domains cohere.
    if "no smoothing" in row.protocol or row.metric not in ("chaos", "pas"):
      assert abs(row.value - row.chance) < 0.06, row


def test_scores_equal_scikit_learn(fixed):
  truth = np.repeat(["a", "b"], 8)
  found = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2])
  fixed(found)
  rows = _rows(_section(truth), "x", "fixed", seeds=2)
  for name, function in {
    "ari": metrics.adjusted_rand_score,
    "nmi": metrics.normalized_mutual_info_score,
    "ami": metrics.adjusted_mutual_info_score,
    "homogeneity": metrics.homogeneity_score,
  }.items():
    assert rows["no", name].value == pytest.approx(function(truth, found), abs=1e-6)


def test_several_runs_count_by_their_median_and_the_row_says_how_many_hit(fixed):
  truth = np.repeat(["a", "b"], 8)
  runs = [np.repeat([0, 1], [8 - wrong, 8 + wrong]) for wrong in (0, 1, 5)]
  fixed(*runs)
  row = _rows(_section(truth), "x", "fixed", seeds=2)["no", "ari"]
  assert row.value == pytest.approx(metrics.adjusted_rand_score(truth, runs[1]))
  assert "3.0 of 9" in row.note


def test_a_sweep_that_never_hits_k_says_so(fixed):
  fixed(np.arange(16) % 5)
  row = _rows(_section(np.repeat(["a", "b"], 8)), "x", "fixed", seeds=1)["no", "ari"]
  assert "1 of 1 never gave k domains" in row.note


def test_unlabelled_spots_are_gone_before_clustering(monkeypatch):
  seen = []

  def spy(features, positions_um, k, seed):
    seen.append((len(features), k))
    return np.zeros((1, len(features)), int)

  monkeypatch.setitem(clusterers.CLUSTERERS, "spy", Clusterer(spy, "spy"))
  labels = np.array(["a"] * 8 + ["b"] * 5 + ["", "nan", "undetermined"])
  row = _rows(_section(labels), "x", "spy", seeds=1)["no", "ari"]
  assert seen == [(13, 2)]
  assert "k = 2 labels of leaf, 3 unlabelled spots left out" in row.protocol


def test_smoothing_never_looks_into_another_section(cohort):
  # Every section lies at the same place: mixed, they would outvote each other.
  spots = cohort.spots.assign(
    x_um=np.arange(360) % 60 % 8 * 100.0, y_um=np.arange(360) % 60 // 8 * 100.0
  )
  together = dataclasses.replace(cohort, spots=spots)
  alone = together.subset((spots["section_id"] == "s2").to_numpy())
  whole, own = (_rows(some, "truth", seeds=1) for some in (together, alone))
  for metric in SCORES - {"layer_f1"}:
    assert whole["smoothed", metric].parts["s2"] == own["smoothed", metric].value


def test_smoothing_removes_a_lone_mistake(fixed):
  truth = np.repeat(["a", "b"], 24)
  found = np.repeat([0, 1], 24)
  found[9] = 1
  fixed(found)
  rows = _rows(_section(truth), "x", "fixed", seeds=1)
  assert rows["no", "ari"].value < rows["smoothed", "ari"].value


def test_spread_is_over_sections_and_seeds_and_parts_name_them(cohort):
  rows = _rows(cohort, "noise", seeds=2)
  assert list(rows["no", "ari"].parts) == [f"s{number}" for number in range(6)]
  assert list(rows["no", "layer_f1"].parts) == [f"leaf{number}" for number in range(4)]
  assert rows["no", "ari"].spread > 0
  assert rows["no", "ari"].n == 6


def test_a_section_with_one_label_is_left_out_and_none_gives_a_reason():
  (row,) = domains.by_clustering(_section(np.repeat("a", 8)), "x", "leaf", "m", "all")
  assert row.value is None
  assert "two labels" in row.note


def test_a_section_too_large_for_ward_gives_a_reason_and_no_number(monkeypatch):
  ward = dataclasses.replace(clusterers.CLUSTERERS["ward"], most_spots=10)
  monkeypatch.setitem(clusterers.CLUSTERERS, "ward", ward)
  section = _section(np.repeat(["a", "b"], 8))
  (row,) = domains.by_clustering(section, "x", "leaf", "m", "all", clusterers=["ward"])
  assert row.value is None
  assert "16 spots" in row.note
