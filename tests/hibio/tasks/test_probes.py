import dataclasses

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score

from hibio.tasks import annotation, baselines, expression, keyword_purity


def _value(rows, metric):
  return next(row for row in rows if row.metric == metric)


def test_a_probe_on_the_truth_is_perfect_and_on_noise_is_at_chance(cohort):
  fit, test = cohort.split("train"), cohort.split("test")
  perfect = list(annotation.evaluate(fit, test, "truth", "leaf", "m", "test"))
  noise = list(annotation.evaluate(fit, test, "noise", "leaf", "m", "test"))
  assert _value(perfect, "balanced_accuracy").value == 1.0
  assert _value(perfect, "macro_f1").value == 1.0
  row = _value(noise, "balanced_accuracy")
  assert row.chance == 0.25
  assert abs(row.value - row.chance) < 0.15


def test_balanced_accuracy_equals_scikit_learn(cohort, monkeypatch):
  fit, test = cohort.split("train"), cohort.split("test")
  seen = {}
  score = annotation.recall_score

  def spy(truth, predicted, **options):
    seen["sklearn"] = balanced_accuracy_score(truth, predicted)
    return score(truth, predicted, **options)

  monkeypatch.setattr(annotation, "recall_score", spy)
  row = _value(
    list(annotation.evaluate(fit, test, "noise", "leaf", "m", "test")), "balanced_accuracy"
  )
  assert row.value == pytest.approx(seen["sklearn"], abs=1e-6)


def test_a_class_never_seen_in_fitting_counts_as_errors(cohort):
  fit, test = cohort.split("train"), cohort.split("test")
  fit = fit.subset((fit.spots["leaf"] != "leaf3").to_numpy())
  row = _value(
    list(annotation.evaluate(fit, test, "truth", "leaf", "m", "test")), "balanced_accuracy"
  )
  assert row.value == 0.75
  assert "leaf3" in row.note


def test_one_class_gives_no_number_but_a_reason(cohort):
  fit, test = cohort.split("train"), cohort.split("test")
  test = test.subset((test.spots["leaf"] == "leaf0").to_numpy())
  (row,) = annotation.evaluate(fit, test, "truth", "leaf", "m", "test")
  assert row.value is None
  assert "2 classes" in row.note


def test_pearson_equals_scipy_in_each_section(cohort):
  truth = cohort.log_expression()
  predicted = truth + np.random.default_rng(0).normal(size=truth.shape).astype(np.float32)
  value, undefined = expression.pearson_in_sections(cohort, truth, predicted)
  want = [
    stats.pearsonr(truth[rows, g], predicted[rows, g])[0]
    for _, rows in cohort.sections()
    for g in range(truth.shape[1])
    if truth[rows, g].std() > 0
  ]
  assert undefined == 6 * truth.shape[1] - len(want)
  assert value == pytest.approx(np.mean(want), abs=1e-6)


def test_a_gene_constant_in_a_section_is_left_out_and_counted(cohort):
  truth = cohort.log_expression()
  truth[:, 0] = 1.0
  value, undefined = expression.pearson_in_sections(cohort, truth, truth)
  assert undefined == 6
  assert value == pytest.approx(1.0, abs=1e-6)


def test_ridge_on_the_leaf_beats_ridge_on_noise(cohort):
  fit, test = cohort.split("train"), cohort.split("test")
  genes = expression.variable_genes(fit, 10)
  (truth,) = expression.evaluate(fit, test, "truth", genes, "m", "test")
  (noise,) = expression.evaluate(fit, test, "noise", genes, "m", "test")
  assert truth.value > 0.5
  assert abs(noise.value) < 0.15


def test_a_gene_that_one_section_lacks_is_never_picked(cohort):
  first = expression.variable_genes(cohort, 1)[0]
  lacking = dict(cohort.measured)
  lacking["s0"] = np.arange(40) != first
  assert (
    first not in expression.variable_genes(dataclasses.replace(cohort, measured=lacking), 40)[:39]
  )


def test_purity_of_the_oracle_is_one_and_housekeeping_scores_zero():
  rng = np.random.default_rng(0)
  planted = rng.random((20, 30)) < 0.5
  housekeeping = ~planted[0]
  counts = np.ones((20, 30), bool)
  rows = list(
    keyword_purity.evaluate(
      {"inverse": (~planted).astype(np.float32)}, counts, planted, housekeeping, 5, "toy", "all"
    )
  )
  value = {(row.method, row.metric): row.value for row in rows}
  assert value["oracle", "purity"] == 1.0
  assert value["inverse", "purity"] == 0.0


def test_colour_statistics_see_a_change_of_stain_but_not_of_layout():
  rng = np.random.default_rng(0)
  patches = rng.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
  got = baselines.colour_statistics(patches)
  np.testing.assert_allclose(got, baselines.colour_statistics(patches[:, ::-1]), rtol=1e-4)
  assert np.abs(got - baselines.colour_statistics(patches // 2)).max() > 0.05


def test_principal_components_are_centred_in_each_section(cohort):
  scores = baselines.expression_pca(cohort.split("train"), cohort, components=5)
  for _, rows in cohort.sections():
    np.testing.assert_allclose(scores[rows].mean(0), 0, atol=1e-3)
