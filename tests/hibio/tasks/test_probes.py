import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from hibio.tasks import annotation, domains, keyword_purity


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


def test_domains_of_the_truth_score_one_and_of_noise_zero(cohort):
  truth = list(domains.evaluate(cohort, "truth", "leaf", "m", "all"))
  noise = list(domains.evaluate(cohort, "noise", "leaf", "m", "all"))
  assert _value(truth, "ari").value == 1.0
  assert abs(_value(noise, "ari").value) < 0.05
  assert abs(_value(noise, "nmi").value - _value(noise, "nmi").chance) < 0.05


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
