import dataclasses

import numpy as np
import pytest
import scipy.sparse
from scipy import stats

from hibio.evaluation import expression
from hibio.evaluation.baselines.counts import sequencing_depth
from hibio.evaluation.folds import Fold, folds_of
from hibio.evaluation.gene_lists import TARGETS

DONORS = ["d0", "d1", "d2"]


@pytest.fixture
def answered(cohort):
  """The cohort with features that know expression, nothing, or depth, and a perfect readout."""
  genes = np.arange(0, 40, 2)
  return dataclasses.replace(
    cohort,
    features={
      "oracle/image": TARGETS["log1p_cp10k"](cohort.counts).toarray(),
      "raw/image": TARGETS["log1p_raw"](cohort.counts).toarray(),
      "raw/gene": TARGETS["log1p_raw"](cohort.counts).toarray(),
      "noise/image": cohort.features["noise"],
      "depth/gene": sequencing_depth(cohort),
    },
    readout={"perfect": cohort.log_expression(genes)},
    readout_genes=genes,
  )


def _ask(cohort, feature, protocols=("ridge_cv",), membership=None):
  questions = expression.prepare(cohort, folds_of(cohort, DONORS), membership)
  rows = expression.from_feature(questions, feature, protocols)
  return {(row.protocol, row.metric): row for row in rows}


def test_features_that_hold_the_expression_score_one(answered):
  sets = np.random.default_rng(0).random((5, 40)) < 0.4
  rows = _ask(answered, "oracle/image", membership=sets)
  for name in ("hvg50", "heg50", "all"):
    for metric in ("pearson_pooled", "pearson_in_donor", "pearson_in_section"):
      assert rows[f"ridge_cv, log1p_cp10k, {name}", metric].value > 0.999
  assert rows["ridge_cv, log1p_cp10k, all", "pathway_coherence"].value > 0.999
  assert rows["ridge_cv, log1p_cp10k, all", "relative_variance"].value == pytest.approx(1, abs=0.02)
  error = rows["ridge_cv, log1p_cp10k, all", "mse"]
  assert error.value < 0.01 * error.chance
  raw = _ask(answered, "raw/image", ["hest_readme"])["hest_readme, log1p_raw, hvg50",
                                                     "pearson_pooled"]  # fmt: skip
  assert raw.value > 0.99


@pytest.mark.parametrize("protocol", expression.FROM_ONE_FEATURE)
def test_noise_scores_chance(answered, protocol):
  rows = _ask(answered, "noise/image", [protocol])
  assert {metric for _, metric in rows} >= {"pearson_pooled", "mse", "mae", "relative_variance"}
  for (_, metric), row in rows.items():
    if metric.startswith("pearson"):
      assert row.chance == 0
      assert abs(row.value) < 0.08


def test_expression_dealt_to_other_spots_cannot_be_predicted(answered):
  shuffled = np.random.default_rng(3).permutation(len(answered.spots))
  broken = dataclasses.replace(answered, counts=answered.counts[shuffled])
  row = _ask(broken, "oracle/image")["ridge_cv, log1p_cp10k, all", "pearson_in_section"]
  assert abs(row.value) < 0.05


def test_every_level_of_pooling_equals_scipy(answered, monkeypatch):
  seen = []
  probe = expression.PROTOCOLS["knn"].probe

  def spy(fit, spots, test):
    predict = probe(fit, spots, test)
    return lambda targets: seen.append(predict(targets)) or seen[-1]

  protocol = dataclasses.replace(
    expression.PROTOCOLS["knn"], probe=spy, targets=("log1p_raw",), gene_lists=("all",)
  )
  monkeypatch.setitem(expression.PROTOCOLS, "knn", protocol)
  rows = _ask(answered, "raw/image", ["knn"])
  questions = expression.prepare(answered, folds_of(answered, DONORS))
  want = {"pearson_pooled": {}, "pearson_in_donor": {}, "pearson_in_section": {}}
  for fold, (predicted, _) in zip(questions.folds, seen, strict=True):
    truth = np.log1p(answered.counts.toarray()[np.ix_(fold.test, fold.genes["all"])])
    spots = answered.spots.iloc[fold.test]
    groups = {"pearson_pooled": np.full(len(spots), fold.held_out),
              "pearson_in_donor": spots["donor_id"].to_numpy(str),
              "pearson_in_section": spots["section_id"].to_numpy(str)}  # fmt: skip
    for metric, names in groups.items():
      for name in np.unique(names):
        rows_of = names == name
        want[metric][name] = np.mean([
          stats.pearsonr(t, p)[0]
          for t, p in zip(truth[rows_of].T, predicted[rows_of].T, strict=True) if np.ptp(t) > 0
        ])  # fmt: skip
  for metric, parts in want.items():
    row = rows["knn, log1p_raw, all", metric]
    assert row.parts == pytest.approx(parts, abs=1e-6)
    assert row.value == pytest.approx(np.mean(list(parts.values())), abs=1e-6)
    assert row.spread == pytest.approx(np.std(list(parts.values())), abs=1e-6)


def test_the_error_of_the_fitting_mean_is_the_chance_of_the_errors(answered, monkeypatch):
  def mean_only(fit, spots, test):
    return lambda targets: (np.repeat(targets.mean(0, keepdims=True), len(test), 0), "")

  monkeypatch.setitem(
    expression.PROTOCOLS, "knn", dataclasses.replace(expression.PROTOCOLS["knn"], probe=mean_only)
  )
  rows = _ask(answered, "noise/image", ["knn"])
  for target in TARGETS:
    for metric in ("mse", "mae"):
      row = rows[f"knn, {target}, all", metric]
      assert row.value == pytest.approx(row.chance, rel=1e-6)
      assert row.value > 0.01
    assert rows[f"knn, {target}, all", "relative_variance"].value == 0
    assert rows[f"knn, {target}, all", "pearson_pooled"].value == 0


def test_depth_explains_raw_counts_and_not_the_normalised_ones(answered):
  times = np.random.default_rng(7).integers(1, 9, (360, 1))
  deep = scipy.sparse.csr_matrix(answered.counts.toarray() * times)
  deep = dataclasses.replace(answered, counts=deep)
  deep.features["depth/gene"] = sequencing_depth(deep)
  rows = _ask(deep, "depth/gene")
  raw = rows["ridge_cv, log1p_raw, all", "pearson_in_section"].value
  normalised = rows["ridge_cv, log1p_cp10k, all", "pearson_in_section"].value
  assert raw > 0.25
  assert abs(normalised) < 0.1


def test_retrieval_finds_its_own_leaf_among_the_profiles_of_other_donors(answered):
  leaf = np.eye(4, dtype=np.float32)[answered.spots["leaf"].str[-1].astype(int)]
  held_out = (answered.spots["donor_id"] == "d2").to_numpy()[:, None]
  noise = np.abs(answered.features["noise/image"][:, :4])
  features = {
    # What the fitting spots look like must not matter: their profiles are the gallery.
    "leaf/image": np.where(held_out, leaf, noise), "leaf/gene": leaf,
    "noise/image": noise, "noise/gene": leaf,
  }  # fmt: skip
  shared = dataclasses.replace(answered, features=features)
  questions = expression.prepare(shared, [Fold("donor_id", "d2")])
  score = {}
  for method in ("leaf", "noise"):
    rows = expression.from_feature(questions, f"{method}/image", ["retrieval"])
    score[method] = next(
      row.value
      for row in rows
      if (row.protocol, row.metric) == ("retrieval, log1p_cp10k, all", "pearson_in_section")
    )
  assert score["leaf"] > 0.5
  assert abs(score["noise"]) < 0.05


def test_profiles_without_a_patch_serve_retrieval_and_nothing_else(answered):
  has_patch = np.arange(360) % 3 > 0
  some = dataclasses.replace(answered, spots=answered.spots.assign(has_patch=has_patch))
  (fold,) = expression.prepare(some, [Fold("donor_id", "d0")]).folds
  assert (len(fold.profiles), len(fold.fit), len(fold.test)) == (240, 160, 80)
  assert has_patch[fold.fit].all()
  assert has_patch[fold.test].all()
  assert _ask(some, "raw/image", ["retrieval"])


def test_a_perfect_readout_scores_one_on_the_genes_that_it_holds(answered):
  questions = expression.prepare(answered, folds_of(answered, DONORS))
  rows = list(expression.from_readout(questions, "perfect", "perfect/image"))
  assert {row.metric for row in rows} == {
    "pearson_pooled", "pearson_in_donor", "pearson_in_section"
  }  # fmt: skip
  for row in rows:
    assert row.value == pytest.approx(1, abs=1e-6)
    assert "20 genes" in row.note


def test_a_readout_without_the_genes_gives_no_number_but_a_reason(answered):
  empty = dataclasses.replace(
    answered, readout={"none": np.zeros((360, 0), np.float32)}, readout_genes=np.zeros(0, int)
  )
  questions = expression.prepare(empty, folds_of(empty, DONORS))
  rows = list(expression.from_readout(questions, "none", "none/image"))
  assert len(rows) == 3
  assert all(row.value is None and "none of the genes" in row.note for row in rows)


def test_a_constant_gene_is_counted_and_does_not_poison_the_mean(answered):
  counts = answered.counts.toarray()
  counts[np.ix_(answered.spots["donor_id"] == "d0", [5])] = 0
  rows = _ask(dataclasses.replace(answered, counts=scipy.sparse.csr_matrix(counts)), "oracle/image")
  row = rows["ridge_cv, log1p_cp10k, all", "pearson_in_section"]
  assert row.value > 0.99
  assert "constant, left out: 2 (gene, group) pairs" in row.note


def test_what_cannot_be_asked_gives_no_number_but_a_reason(answered):
  one = answered.subset((answered.spots["section_id"] == "s0").to_numpy())
  (row,) = _ask(one, "raw/image").values()
  assert row.value is None
  assert "nothing can be held out" in row.note
  blind = dataclasses.replace(answered, spots=answered.spots.assign(has_patch=False))
  (row,) = _ask(blind, "raw/image").values()
  assert row.value is None
  assert "0 to fit on" in row.note


def test_sections_of_one_donor_are_said_to_leak(answered):
  one = answered.subset((answered.spots["donor_id"] == "d1").to_numpy())
  questions = expression.prepare(one, folds_of(one, DONORS))
  rows = {row.metric: row for row in expression.from_feature(questions, "raw/image", ["ridge_cv"])}
  assert "LEAKY" in rows["pearson_pooled"].split
  assert "blocks of one section" in rows["pearson_pooled"].note
  assert set(rows["pearson_in_donor"].parts) == {"d1"}
