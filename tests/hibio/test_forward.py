"""A batch that passes in parts is one that passes at once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.problems import BadInputError
from hibio import forward
from hibio.configs import ObjectiveConfig
from hibio.masked import unit
from hibio.objectives.inputs import Inputs
from hibio.objectives.spot import SPOT
from hibio.outputs import Keywords, Outputs
from tests.hibio.fake import fake

WINDOWS, SPOTS, GENES, WIDTH = 4, 6, 12, 8


@pytest.fixture(scope="module")
def data():
  made = fake(windows=WINDOWS, spots=SPOTS, genes=GENES, pathways=3, patch_px=2)
  return jax.tree.map(jnp.asarray, made)


def linear(params, batch, key):
  """Both embeddings by one matrix each, and nothing of the rest; draws nothing."""
  del key
  shape, counts = batch.spot_mask.shape, batch.counts.astype(jnp.float32)
  none, of_genes = jnp.zeros(shape), jnp.zeros((*shape, GENES))
  one = jnp.zeros((*shape, 1))
  return Outputs(
    image=unit(counts @ params["image"]),
    gene=unit(jnp.sqrt(counts) @ params["gene"]),
    anchors=params["anchors"],
    anchor_offset=params["anchors"],
    predicted_from_image=of_genes,
    predicted_from_gene=of_genes,
    keywords=Keywords(one.astype(jnp.int32), one, one, one > 0),
    keyword_weight=of_genes,
    region_score_image=none,
    region_score_gene=none,
    log_scale=params["log_scale"],
    anchor_log_scale=params["log_scale"],
  )


def gradient(data, parts):
  def loss(params):
    apply = functools.partial(linear, params)
    outputs = forward.in_parts(apply, data[0], jax.random.key(0), parts)
    spots = SPOT.evaluate(Inputs(outputs, *data, ObjectiveConfig())).loss
    return spots + (outputs.anchors**2).sum(), outputs

  rng = np.random.default_rng(0)
  matrix = functools.partial(rng.normal, size=(GENES, WIDTH))
  params = {"image": matrix(), "gene": matrix(), "anchors": rng.normal(size=(3, WIDTH))}
  params = jax.tree.map(jnp.float32, params | {"log_scale": 1.0})
  return jax.jit(jax.value_and_grad(loss, has_aux=True))(params)


def test_parts_give_every_output_the_loss_of_all_pairs_and_its_gradient(data):
  parts, whole = (jax.tree.leaves(gradient(data, number)) for number in (2, 1))
  for got, want in zip(parts, whole, strict=True):
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_parts_of_unequal_size_are_refused(data):
  with pytest.raises(BadInputError, match="3 parts of 4 windows"):
    gradient(data, 3)
