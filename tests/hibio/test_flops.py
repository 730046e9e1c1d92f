"""Operations counted by hand against those of the compiled model."""

import dataclasses

import jax
import pytest

from hibio.configs import SIZES, ContextConfig, ModelConfig, TransformerConfig
from hibio.flops import count_flops
from hibio.model import HiBio
from hibio.nn.layers import transformer_flops
from tests.hibio.fake import fake

CONFIG = ModelConfig(**SIZES["tiny"])


def test_the_count_is_that_of_the_compiled_model_but_for_small_things():
  """XLA also counts sums, logs and the like, which are a few in a hundred."""
  batch, tables = fake(windows=2, spots=32, genes=1200, pathways=50)
  model = HiBio(CONFIG, num_genes=1200)
  args = (batch, tables.statistics, tables.membership)
  params = jax.eval_shape(model.init, jax.random.key(0), *args)
  lowered = jax.jit(lambda params: model.apply(params, *args)).lower(params)
  counted = count_flops(CONFIG, 1200, 50, spots_per_window=32, spots_per_batch=64) * 64
  assert 0.85 < counted / lowered.cost_analysis()["flops"] <= 1.0


def test_a_vit_s_takes_what_its_paper_says():
  """4.6 GFLOP at 224 px counting a multiply-add once (Touvron et al. 2021, table 5)."""
  vit_s = TransformerConfig(width=384, depth=12, num_heads=6)
  assert transformer_flops(vit_s, 197) / 2 == pytest.approx(4.6e9, rel=0.03)


def test_scanning_does_not_hide_depth():
  scanned = dataclasses.replace(CONFIG.image, scan=True, depth=6)
  more = count_flops(dataclasses.replace(CONFIG, image=scanned), 1200, 50)
  assert more > count_flops(CONFIG, 1200, 50)


def test_context_switched_off_costs_nothing():
  off = dataclasses.replace(CONFIG, context=ContextConfig(radius_um=0.0))
  assert count_flops(off, 1200, 50) < count_flops(CONFIG, 1200, 50)
