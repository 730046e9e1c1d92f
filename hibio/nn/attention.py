"""Attention, and the ways to compute it: the same function, with kernels of the backend or without.

Logits and softmax are float32 in each, whatever the tokens are.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from data_pipelines.problems import BadInputError

MASKED = -1e30  # finite: a row in which everything is masked keeps a finite gradient

_TPU_TOKENS = 128  # whose multiples its kernel takes


def attend(
  query: Float[Array, "*batch query channel"],
  key: Float[Array, "*batch key channel"],
  value: Float[Array, "*batch key channel"],
  bias: Float[Array, "..."] | None = None,
  mask: Bool[Array, "..."] | None = None,
) -> Float[Array, "*batch query channel"]:
  """Mean of the values for each query, weighted by softmax(query . key / sqrt(channel) + bias).

  A query whose keys are all masked gets the plain mean of all values.

  Args:
    bias: added to the logits, with as many axes as they have.
    mask: True for keys that a query sees, with as many axes as the logits.

  References:
    Vaswani et al. 2017, arXiv:1706.03762, equation 1.
  """
  keys = jnp.swapaxes(key, -1, -2)
  logits = jnp.matmul(query, keys, preferred_element_type=jnp.float32) * query.shape[-1] ** -0.5
  if bias is not None:
    logits = logits + bias
  if mask is not None:
    logits = jnp.where(mask, logits, MASKED)
  return jax.nn.softmax(logits, axis=-1).astype(value.dtype) @ value


Tokens = Float[Array, "set head token channel"]
Seen = Bool[Array, "set token"] | None


def among_tokens(query: Tokens, key: Tokens, value: Tokens, mask: Seen, form: str) -> Tokens:
  """Every token of a set attends to those that are seen.

  Args:
    mask: True for tokens that are seen; None for all.
    form: a name in `FORMS`, or "auto".

  Raises:
    BadInputError: no form has that name.
  """
  form = _best(query) if form == "auto" else form
  if form not in FORMS:
    raise BadInputError(
      "config", "attention", form, f"one of auto, {', '.join(FORMS)}", "correct the name"
    )
  return FORMS[form](query, key, value, mask)


def _best(query: Tokens) -> str:
  halves = query.dtype in (jnp.bfloat16, jnp.float16) and query.shape[-1] % 8 == 0
  return "cudnn" if halves and jax.default_backend() == "gpu" else "xla"


def _xla(query: Tokens, key: Tokens, value: Tokens, mask: Seen) -> Tokens:
  """Heads before tokens: on a processor a third less time than with tokens before heads."""
  return attend(query, key, value, mask=None if mask is None else mask[:, None, None])


def _cudnn(query: Tokens, key: Tokens, value: Tokens, mask: Seen) -> Tokens:
  """Never holds the logits; for NVIDIA's GPUs from Ampere on, in half precision."""
  sets, _, number, _ = query.shape
  if mask is not None:  # which it wants for each query
    mask = jnp.broadcast_to(mask[:, None, None], (sets, 1, number, number))
  mixed = jax.nn.dot_product_attention(
    *(one.swapaxes(1, 2) for one in (query, key, value)), mask=mask, implementation="cudnn"
  )
  return mixed.swapaxes(1, 2)


def _flash(query: Tokens, key: Tokens, value: Tokens, mask: Seen) -> Tokens:
  """The same for TPUs; sets are filled up with tokens that nobody sees."""
  from jax.experimental.pallas.ops.tpu import flash_attention as tpu

  sets, _, number, channels = query.shape
  more = -number % _TPU_TOKENS
  padded = [jnp.pad(one, [(0, 0), (0, 0), (0, more), (0, 0)]) for one in (query, key, value)]
  seen = jnp.ones((sets, number), bool) if mask is None else mask
  seen = jnp.pad(seen, [(0, 0), (0, more)]).astype(jnp.int32)
  segments = tpu.SegmentIds(q=jnp.ones_like(seen), kv=seen)
  mixed = tpu.flash_attention(*padded, segment_ids=segments, sm_scale=channels**-0.5)
  return mixed[:, :, :number]


FORMS: dict[str, Callable[[Tokens, Tokens, Tokens, Seen], Tokens]] = {
  "xla": _xla,
  "cudnn": _cudnn,
  "flash": _flash,
}
"""How attention among the tokens of a set is computed."""
