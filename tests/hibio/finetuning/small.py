"""A small model, a batch with its tables, and parameters: what finetuning's tests begin from."""

from __future__ import annotations

import functools

import jax
import numpy as np

from hibio import forward
from hibio.batch import Batch, Tables
from hibio.configs import ContextConfig, KeywordConfig, ModelConfig, TransformerConfig
from hibio.model import HiBio
from tests.hibio.fake import fake

GENES, PATHWAYS = 24, 3


def config(scan: bool = False, depth: int = 2) -> ModelConfig:
  tower = TransformerConfig(width=8, depth=depth, num_heads=2, mlp_ratio=2.0, scan=scan)
  return ModelConfig(
    embedding_width=8,
    patch_px=8,
    token_px=4,
    image=tower,
    gene=tower,
    keywords=KeywordConfig(num_keywords=6, min_documents=1),
    image_stem="pieces",  # learns a side of a section in a few steps
    context=ContextConfig(num_heads=2),
  )


@functools.cache
def data() -> tuple[Batch, Tables]:
  return fake(windows=4, spots=8, genes=GENES, pathways=PATHWAYS, patch_px=8)


@functools.cache
def params(scan: bool = False, depth: int = 2):
  """Drawn here: compiling an initialiser takes seconds."""
  batch, tables = data()
  model = HiBio(config(scan, depth), GENES)
  shapes = jax.eval_shape(lambda: forward.initial_params(model, batch, tables, seed=0))
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: rng.normal(scale=0.3, size=leaf.shape).astype(np.float32), shapes
  )


@functools.cache
def outputs():
  """What the unrolled model says of the batch."""
  return forward.frozen(HiBio(config(), GENES))(params(), *data())


def names(tree) -> dict[str, np.ndarray]:
  """Leaves by their paths."""
  flat = jax.tree_util.tree_flatten_with_path(tree)[0]
  return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in flat}
