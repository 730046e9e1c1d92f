import dataclasses

import numpy as np
import pytest

from hibio.embed import Model
from hibio.readout import COLUMNS, Readout, Regression
from tests.data_pipelines import annotated

GENES = 40


@pytest.fixture
def with_readout(model) -> Model:
  """The model with a readout of its embedding whose every gene is a column of it and a level."""
  rng = np.random.default_rng(0)
  none = (
    np.zeros((0, 16), np.float32),
    np.zeros((0, 0), np.float32),
    np.zeros((0, GENES), np.float32),
  )
  parts = [
    Regression(np.eye(16, dtype=np.float32), rng.normal(size=(16, GENES)).astype(np.float32), *none)
    for _ in range(3)
  ]
  columns = rng.random((4, GENES)).astype(np.float32)
  columns[0] += 5
  readout = Readout(parts[0], tuple(parts[1:]), *columns, ("embedding",), {"step": 5})
  return Model(dataclasses.replace(model.checkpoint, readout=readout))


def _section(**blind):
  section = annotated.section()
  return annotated.adata(section, **({"image": annotated.picture(section)} | blind))


def test_a_stored_readout_predicts_in_log_units_with_spread_and_reliability(with_readout):
  adata = _section()
  found = with_readout.predict_expression(adata)
  readout = with_readout.checkpoint.readout
  assert found.shape == (90, GENES)
  columns = [list(with_readout.genes).index(name) for name in found.var_names]
  np.testing.assert_allclose(found.X.mean(0), readout.mean[columns], atol=0.2)  # units of section
  assert (found.layers["hibio_sd"] > 0).all()
  np.testing.assert_allclose(found.var["hibio_r"], readout.reliability[columns])
  assert list(found.var) == list(COLUMNS)
  assert "log1p" in found.uns["hibio"]["sections"]["predicted_by"].iloc[0]


def test_without_an_image_the_head_predicts_and_says_so(with_readout, model):
  adata = _section(image=None)
  found = with_readout.predict_expression(adata)
  np.testing.assert_allclose(found.X, model.predict_expression(adata).X, atol=1e-5)
  assert "head" in found.uns["hibio"]["sections"]["predicted_by"].iloc[0]
  assert "hibio_sd" not in found.layers


def test_embedding_again_without_prediction_leaves_nothing_of_it(with_readout):
  adata = with_readout.embed(_section(), predict_expression=True)
  assert "hibio_predicted_sd" in adata.obsm
  assert list(adata.uns["hibio"]["predicted_reliability"]) == list(COLUMNS)
  with_readout.embed(adata)
  assert not [name for name in adata.obsm if name.startswith("hibio_predicted")]
