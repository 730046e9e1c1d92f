import numpy as np

from hibio.evaluation import keyword_lists


def test_planted_genes_have_a_purity_of_one_and_all_others_of_zero():
  rng = np.random.default_rng(0)
  planted = rng.random((20, 30)) < 0.5
  housekeeping = ~planted[0]
  counts = np.ones((20, 30), bool)
  for scores, purity in ((planted, 1.0), (~planted, 0.0)):
    rows = keyword_lists.planted_purity(
      "m", scores.astype(np.float32), counts, planted, housekeeping, 5, "toy", "all"
    )
    assert {row.metric: row.value for row in rows}["purity"] == purity
