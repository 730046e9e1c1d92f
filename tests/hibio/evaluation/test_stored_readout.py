import dataclasses

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from scipy import stats

from data_pipelines.loading.corpus import Corpus
from hibio.batch import Tables
from hibio.evaluation import stored_readout
from hibio.evaluation.stored_readout import Pairs, _of_blocks, ceiling

GENES, DRIVEN = 60, 20


@pytest.fixture
def pairs() -> Pairs:
  """Four training sections of two donors and one for validation; features drive the first genes."""
  rng = np.random.default_rng(0)
  section = np.repeat(np.arange(5), 80)
  features = rng.normal(size=(400, 12)).astype(np.float32)
  level = rng.normal(size=(5, GENES))[section] * 0.5
  signal = np.zeros((400, GENES))
  signal[:, :DRIVEN] = features[:, :3] @ rng.normal(size=(3, DRIVEN))
  counts = rng.poisson(np.exp(1.5 + 0.4 * signal + level))
  rows = pd.DataFrame({
    "section_id": [f"s{s}" for s in section], "donor_id": [f"d{s // 2}" for s in section],
    "split": np.where(section < 4, "train", "validation"),
  })  # fmt: skip
  measured = np.ones((400, GENES), bool)
  measured[section == 1, 5] = False
  counts[section == 1, 5] = 0
  measured[:, 59], counts[:, 59] = False, 0
  # An embedding that has seen the training sections: there, and there alone, it is the answer.
  leaked = np.where((section < 4)[:, None], signal[:, :4], rng.normal(size=(400, 4)))
  blocks = {"features": features, "embedding": leaked.astype(np.float32)}
  return Pairs(blocks, scipy.sparse.csr_matrix(counts), measured, rows)


def test_driven_genes_are_reliable_and_others_are_not(pairs):
  found = _of_blocks(pairs, ("features",), 7)
  assert found.reliability[:DRIVEN].mean() > 0.4
  # Shares add up to one, so that the others follow a little.
  assert abs(found.reliability[DRIVEN:59].mean()) < 0.15
  assert found.reliability[:DRIVEN].mean() < found.ceiling[:DRIVEN].mean()
  assert np.isnan(found.mean[59])
  assert np.isnan(found.reliability[59])
  assert found.about["step"] == 7
  assert len(found.folds) == 2  # donors


def test_predictions_are_in_log_units_about_the_training_mean(pairs):
  found = _of_blocks(pairs, ("features",), 7)
  rows = pairs.of("validation")
  predicted, spread = found.predict({"features": pairs.blocks["features"][rows]})
  log = stored_readout.log1p_cp10k(pairs.counts).toarray()
  r = [np.corrcoef(predicted[:, g], log[rows, g])[0, 1] for g in range(DRIVEN)]
  assert np.mean(r) > 0.4
  np.testing.assert_allclose(predicted.mean(0)[:59], found.mean[:59], atol=0.3)
  of_sections = [log[(pairs.rows["section_id"] == f"s{s}").to_numpy(), 5].mean() for s in (0, 2, 3)]
  assert found.mean[5] == pytest.approx(np.mean(of_sections), rel=1e-4)
  assert (spread[:, :59] > 0).all()


def test_reliability_says_where_it_comes_from(pairs):
  alone = Pairs(pairs.blocks, pairs.counts, pairs.measured,
                pairs.rows.assign(split="train"))  # fmt: skip
  assert "was trained on" in _of_blocks(alone, ("embedding",), 1).about["reliability_from"]
  assert _of_blocks(alone, ("features",), 1).about["reliability_from"].endswith("of the fit")
  seen = _of_blocks(pairs, ("embedding",), 1)
  assert seen.about["reliability_from"] == "validation sections"
  assert abs(seen.reliability[:DRIVEN].mean()) < 0.1


def test_an_embedding_that_only_knows_its_training_sections_is_not_read(pairs, monkeypatch):
  monkeypatch.setattr(stored_readout, "_gathered", lambda *_: pairs)
  nothing = object.__new__(Corpus), lambda *_: None, {}, object.__new__(Tables), 3
  found = stored_readout.fitted(*nothing)
  assert found.reads == ("features",)
  honest = {**pairs.blocks, "embedding": pairs.blocks["features"][:, :3] * 3}
  noise = np.random.default_rng(3).normal(size=(400, 300)).astype(np.float32)
  honest["features"] = np.concatenate([pairs.blocks["features"], noise], axis=1)
  monkeypatch.setattr(
    stored_readout, "_gathered", lambda *_: dataclasses.replace(pairs, blocks=honest)
  )
  found = stored_readout.fitted(*nothing)
  assert found.reads == ("features", "embedding")


def test_the_ceiling_is_what_an_oracle_reaches():
  rng = np.random.default_rng(4)
  n = 4000
  rate = np.exp(rng.normal(size=(n, 8)) * np.linspace(0, 0.8, 8) + 1)
  # Other genes take up the depth, so that a gene's share follows its own rate.
  rest = rng.poisson(500, (n, 1))
  counts = np.concatenate([rng.poisson(rate), rest], axis=1)
  found = ceiling(scipy.sparse.csr_matrix(counts), np.ones((n, 9), bool), np.full(n, "s"))
  log = stored_readout.log1p_cp10k(scipy.sparse.csr_matrix(counts)).toarray()
  oracle = [stats.pearsonr(np.log1p(rate[:, g] * 20), log[:, g])[0] for g in range(2, 8)]
  np.testing.assert_allclose(
    found[2:8], oracle, atol=0.1
  )  # the square root of a small number is noisy
  assert found[0] < 0.2
