import dataclasses

import numpy as np
import pytest

from data_pipelines.problems import BadInputError
from hibio import readout
from hibio.readout import Readout, Regression, joined, z_scores


def _regression(rng, gallery: int) -> Regression:
  shapes = (5, 2), (2, 7), (gallery, 2), (gallery, 3), (3, 7)
  return Regression(*(rng.normal(size=shape).astype(np.float32) for shape in shapes))


@pytest.fixture
def stored() -> Readout:
  rng = np.random.default_rng(0)
  whole = _regression(rng, 50)
  folds = [dataclasses.replace(_regression(rng, 40), components=whole.components) for _ in "ab"]
  columns = rng.random((4, 7)).astype(np.float32)
  columns[0, 6] = np.nan
  return Readout(whole, tuple(folds), *columns, ("features", "embedding"), {"step": 12, "rank": 2})


@pytest.fixture
def blocks():
  rng = np.random.default_rng(1)
  return {name: rng.normal(size=(30, width)).astype(np.float32)
          for name, width in (("features", 3), ("embedding", 2))}  # fmt: skip


def test_what_is_read_back_predicts_the_same(tmp_path, stored, blocks):
  readout.save(stored, tmp_path)
  again = readout.saved(tmp_path, 12)
  for one, other in zip(stored.predict(blocks), again.predict(blocks), strict=True):
    np.testing.assert_array_equal(one, other)
  assert again.about == stored.about
  assert again.reads == stored.reads


def test_a_readout_of_another_step_is_none_and_so_is_no_file(tmp_path, stored):
  assert readout.saved(tmp_path, 12) is None
  readout.save(stored, tmp_path)
  assert readout.saved(tmp_path, 13) is None


@pytest.mark.parametrize("how", ["shortened", "another number"])
def test_a_damaged_readout_is_refused_in_a_line(tmp_path, stored, how):
  readout.save(stored, tmp_path)
  path = tmp_path / readout.READOUT
  if how == "shortened":
    path.write_bytes(path.read_bytes()[:-200])
  else:
    with np.load(path) as file:
      arrays = dict(file)
    arrays["mean"][0] += 1
    np.savez_compressed(path, **arrays)
  with pytest.raises(BadInputError, match="damaged"):
    readout.saved(tmp_path, 12)


def test_a_gene_that_was_never_measured_is_unknown_and_genes_come_in_the_order_asked(
  stored, blocks
):
  every, spread = stored.predict(blocks)
  assert np.isnan(every[:, 6]).all()
  assert np.isfinite(every[:, :6]).all()
  some, of_some = stored.predict(blocks, np.array([4, 0]))
  np.testing.assert_allclose(some, every[:, [4, 0]], rtol=1e-5)
  np.testing.assert_allclose(of_some, spread[:, [4, 0]], rtol=1e-5)
  np.testing.assert_array_equal(
    stored.table(np.array([4, 0]))["hibio_r"], stored.reliability[[4, 0]]
  )


def test_the_spread_is_that_of_the_fits_without_a_fold(stored, blocks):
  x = joined(blocks, stored.reads)
  want = np.std([part(x) for part in stored.folds], axis=0)
  np.testing.assert_allclose(stored.predict(blocks)[1], want, rtol=1e-5)


def test_section_units_leave_out_unknown_spots_and_constant_columns():
  rng = np.random.default_rng(2)
  values = rng.normal(3, 5, (40, 3)).astype(np.float32)
  values[:, 2] = 7.0
  known = np.arange(40) < 25
  units = z_scores(values, known)
  assert (units[25:] == 0).all()
  assert (units[:, 2] == 0).all()
  np.testing.assert_allclose(units[:25, :2].mean(0), 0, atol=1e-5)
  np.testing.assert_allclose(units[:25, :2].std(0), 1, atol=1e-5)
