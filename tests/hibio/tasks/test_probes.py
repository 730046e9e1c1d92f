import numpy as np
import pytest
<<<<<<< HEAD
from sklearn.metrics import balanced_accuracy_score

from hibio.tasks import annotation, domains, keyword_purity
=======
from scipy import stats

from hibio.tasks import baselines, domains, expression, keyword_purity
>>>>>>> w-annotation


def _value(rows, metric):
  return next(row for row in rows if row.metric == metric)


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
