"""C9: the exact contrast against the textbook form, which holds whole N x N tables.

  python -m experiments.benchmarks.contrast

Value and gradient of both for the same embeddings, of width 512. Ours also looks up which spots are
neighbours and so no negatives; here there are none, so that both give the same.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import side_by_side
from experiments.benchmarks.side_by_side import Case, Pair
from hibio.objectives.inputs import Pairs
from hibio.objectives.spot import info_nce
from hibio.pairwise import block_of

_WIDTH = 512
_SOFT = 0.1
_TEMPERATURE = 0.1


def _naive(image, gene, scale, share):
  logits = scale * image @ gene.T
  own = jnp.eye(len(image))
  if share:
    alike = 0.5 * (image @ image.T + gene @ gene.T)
    spread = jax.nn.softmax(jax.lax.stop_gradient(alike) / _TEMPERATURE)
    own = (1.0 - share) * own + share * spread
  both = jax.nn.log_softmax(logits) + jax.nn.log_softmax(logits.T)
  return -0.5 * (own * both).sum(-1).mean()


def _ours(image, gene, scale, share):
  number = len(image)
  pairs = Pairs(
    image,
    gene,
    jnp.ones(number, bool),
    1e4 * jnp.arange(2.0 * number).reshape(number, 2),
    jnp.zeros(number, jnp.int32),
  )
  loss, _ = info_nce(
    pairs,
    scale,
    neighbour_radius_um=150.0,
    soft_target_share=share,
    soft_target_temperature=_TEMPERATURE,
    block=block_of(number),
  )
  return loss.mean()


def _forms(number: int, share: float):
  """Both forms, compiled, and what they are given: pairs that are hard to tell."""
  rng = np.random.default_rng(0)
  image = rng.normal(size=(number, _WIDTH)).astype(np.float32)
  gene = image + 6.0 * rng.normal(size=image.shape).astype(np.float32)
  vectors = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in (image, gene)]
  given = jax.device_put((*vectors, np.float32(20.0)))
  compiled = [
    jax.jit(jax.value_and_grad(functools.partial(form, share=share), (0, 1, 2)))
    .lower(*given)
    .compile()
    for form in (_ours, _naive)
  ]
  return compiled, given


def _times(number: int, share: float, quick: bool) -> Pair:
  forms, given = _forms(256 if quick else number, share)
  ours, theirs = (
    functools.partial(lambda form: jax.block_until_ready(form(*given)), form) for form in forms
  )
  return ours, theirs


def _bytes(number: int, quick: bool) -> Pair:
  (ours, theirs), _ = _forms(256 if quick else number, 0.0)
  return tuple(
    functools.partial(lambda form: form.memory_analysis().temp_size_in_bytes, form)
    for form in (ours, theirs)
  )


def _same(ours, theirs) -> None:
  (value, gradients), (wanted, wanted_gradients) = ours, theirs
  np.testing.assert_allclose(value, wanted, rtol=1e-5)
  for one, other in zip(gradients, wanted_gradients, strict=True):
    scale = float(jnp.abs(other).max())
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-4 * scale)


CASES = tuple(
  Case(
    f"C9 contrast of {number:,} pairs{', soft targets' if share else ''}",
    "whole tables",
    1 / 1.2,
    functools.partial(_times, number, share),
    _same,
    rounds=5,
  )
  for number, share in ((4096, 0.0), (16384, 0.0), (4096, _SOFT))
) + (
  Case(
    "C9 temporaries of 16,384 pairs",
    "whole tables",
    12.0,
    functools.partial(_bytes, 16384),
    clock=None,
    unit="B",
  ),
)


if __name__ == "__main__":
  side_by_side.run(__doc__, CASES)
