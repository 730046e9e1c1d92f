"""Anchors outside a forward pass are the ones that the model itself makes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hibio.configs import ContextConfig, KeywordConfig, ModelConfig, TransformerConfig
from hibio.model import HiBio
from hibio.pathways import marker_anchors, pathway_anchors
from tests.hibio.fake import fake

GENES, PATHWAYS = 30, 4
TOWER = TransformerConfig(width=8, depth=1, num_heads=2)
CONFIG = ModelConfig(
  embedding_width=12,
  patch_px=8,
  token_px=4,
  image=TOWER,
  gene=TOWER,
  keywords=KeywordConfig(num_keywords=4, min_documents=1),
  context=ContextConfig(radius_um=0.0),
)


@pytest.fixture(scope="module")
def case():
  """Parameters, tables, and params -> the model's own anchors."""
  batch, tables = fake(windows=2, spots=4, genes=GENES, pathways=PATHWAYS, patch_px=8)
  model = HiBio(CONFIG, num_genes=GENES)
  statistics, membership = jax.tree.map(jnp.asarray, (tables.statistics, tables.membership))
  shapes = jax.eval_shape(model.init, jax.random.key(0), batch, statistics, membership)["params"]
  rng = np.random.default_rng(0)  # numbers of our own: compiling `init` takes longer than the test
  params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(leaf.dtype), shapes)
  params["anchor_offset"] = np.zeros_like(params["anchor_offset"])

  @jax.jit
  def own(params):
    return model.apply({"params": params}, batch, statistics, membership).anchors

  return params, tables, own


def test_new_sets_get_the_models_own_anchors_while_offsets_are_untrained(case):
  params, tables, own = case
  got = marker_anchors(params, tables.membership, tables.statistics.corpus_document_share)
  np.testing.assert_allclose(got, own(params), rtol=1e-5, atol=1e-6)
  assert np.linalg.matrix_rank(got, tol=1e-3) == PATHWAYS


def test_the_models_own_sets_keep_their_learned_offsets(case):
  params, tables, own = case
  moved = jnp.asarray(np.random.default_rng(0).normal(size=(PATHWAYS, 12)).astype(np.float32))
  params = params | {"anchor_offset": moved}
  arguments = (params, tables.membership, tables.statistics.corpus_document_share)
  np.testing.assert_allclose(pathway_anchors(*arguments), own(params), rtol=1e-5, atol=1e-6)
  assert np.abs(marker_anchors(*arguments) - own(params)).max() > 0.1


def test_a_set_without_a_gene_has_no_direction_and_the_others_have_length_1(case):
  params, tables, _ = case
  membership = np.asarray(tables.membership).copy()
  membership[1] = False
  got = marker_anchors(params, membership, tables.statistics.corpus_document_share)
  np.testing.assert_allclose(np.linalg.norm(got, axis=1), [1, 0, 1, 1], atol=1e-5)
