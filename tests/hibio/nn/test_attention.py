"""All forms of attention are one function; kernels of accelerators are lowered, not run, here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.cudnn import fused_attention_stablehlo as cudnn

from data_pipelines.problems import BadInputError
from hibio.nn.attention import among_tokens, attend

SETS, HEADS, TOKENS, CHANNELS = 2, 3, 20, 8


def tokens(dtype=jnp.float32):
  rng = np.random.default_rng(0)
  values = rng.normal(size=(3, SETS, HEADS, TOKENS, CHANNELS)) * 3
  return [jnp.asarray(one, dtype) for one in values]


def test_it_is_the_attention_of_jax():
  query, key, value = tokens()
  mask = jnp.arange(TOKENS)[None] < jnp.array([[20], [7]])
  got = among_tokens(query, key, value, mask, "xla")
  want = jax.nn.dot_product_attention(
    *(one.swapaxes(1, 2) for one in (query, key, value)), mask=mask[:, None, None]
  )
  np.testing.assert_allclose(got, want.swapaxes(1, 2), rtol=1e-5, atol=1e-6)


def test_half_precision_does_not_round_logits():
  query, key, value = tokens(jnp.bfloat16)
  got = attend(query, key, value)
  exact = attend(*(one.astype(jnp.float32) for one in (query, key, value)))
  # What is left is the rounding of the weights and of the sum, 2^-8 each; logits of up to 60 that
  # were rounded to 8 bits would move weights by a tenth.
  np.testing.assert_allclose(got.astype(jnp.float32), exact, rtol=0.02, atol=0.05)
  rounded = (query @ key.swapaxes(-1, -2)).astype(jnp.float32) * CHANNELS**-0.5
  coarse = jax.nn.softmax(rounded).astype(value.dtype) @ value
  errors = [float(jnp.abs(one.astype(jnp.float32) - exact).mean()) for one in (got, coarse)]
  assert errors[0] < errors[1] / 1.5


@pytest.mark.parametrize(
  ("form", "platform", "kernel"),
  [("flash", "tpu", "tpu_custom_call"), ("cudnn", "cuda", "fmha")],
)
@pytest.mark.parametrize("masked", [True, False])
def test_kernels_and_their_gradients_lower_for_their_platform(
  form, platform, kernel, masked, monkeypatch
):
  # Asked while tracing; there is no GPU here.
  monkeypatch.setattr(cudnn, "check_cudnn_version", lambda: 91000)
  monkeypatch.setattr(cudnn, "check_compute_capability", lambda capability: True)
  shape = jax.ShapeDtypeStruct((2, 4, 196, 64), jnp.bfloat16)
  seen = jax.ShapeDtypeStruct((2, 196), bool)

  def total(query, key, value, seen):
    mixed = among_tokens(query, key, value, seen if masked else None, form)
    return mixed.astype(jnp.float32).sum()

  traced = jax.jit(jax.grad(total, (0, 1, 2))).trace(shape, shape, shape, seen)
  text = traced.lower(lowering_platforms=(platform,)).as_text()
  assert kernel in text
  assert "dot_general" not in text.split("func.func public @main")[1].split("func.func")[0]


def test_a_form_that_does_not_exist_is_refused():
  with pytest.raises(BadInputError, match="attention"):
    among_tokens(*tokens(), None, "fast")
