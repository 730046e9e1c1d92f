import numpy as np

from hibio.evaluation import keyword_lists


def test_purity_of_the_oracle_is_one_and_housekeeping_scores_zero():
  rng = np.random.default_rng(0)
  planted = rng.random((20, 30)) < 0.5
  housekeeping = ~planted[0]
  counts = np.ones((20, 30), bool)
  rows = list(
    keyword_lists.evaluate(
      {"inverse": (~planted).astype(np.float32)}, counts, planted, housekeeping, 5, "toy", "all"
    )
  )
  value = {(row.method, row.metric): row.value for row in rows}
  assert value["oracle", "purity"] == 1.0
  assert value["inverse", "purity"] == 0.0
