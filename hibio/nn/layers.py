"""The linear layer used everywhere, laid out so that its gradient is one plain matrix product."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from data_pipelines.problems import BadInputError
from hibio.configs import TransformerConfig
from hibio.layout import dealt_out, gathered
from hibio.nn.attention import MASKED, among_tokens


class Dense(nn.Module):
  """`flax.linen.Dense` over the rows of a matrix, whatever axes come before the last.

  With three axes XLA moves data about before it multiplies: on a processor a feed-forward part and
  its gradient took 290 ms so, and 150 ms over rows (16,384 tokens, width 96, CPU time).
  """

  features: int
  use_bias: bool = True
  dtype: jax.typing.DTypeLike = jnp.float32
  kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

  @nn.compact
  def __call__(self, inputs: Float[Array, "*dims width"]) -> Float[Array, "*dims {self.features}"]:
    width = inputs.shape[-1]
    kernel = self.param("kernel", self.kernel_init, (width, self.features))
    kernel = gathered(jnp.asarray(kernel, self.dtype), (*self.path, "kernel"))
    outputs = inputs.reshape(-1, width).astype(self.dtype) @ kernel
    if self.use_bias:
      bias = self.param("bias", nn.initializers.zeros, (self.features,))
      outputs = outputs + bias[None].astype(self.dtype)
    return outputs.reshape(*inputs.shape[:-1], self.features)


class SelfAttention(nn.Module):
  """Every token of a set attends to every other one that is not masked.

  Attributes:
    form: how that is computed, see `hibio.nn.attention.FORMS`.
  """

  num_heads: int
  dtype: jax.typing.DTypeLike = jnp.float32
  form: str = "auto"

  @nn.compact
  def __call__(
    self, tokens: Float[Array, "set token width"], mask: Bool[Array, "set token"] | None = None
  ) -> Float[Array, "set token width"]:
    sets, num_tokens, width = tokens.shape
    qkv = Dense(3 * width, dtype=self.dtype, name="qkv")(tokens)
    # Heads come first among the output channels, so that cutting those apart keeps heads whole.
    qkv = qkv.reshape(sets, num_tokens, self.num_heads, 3, width // self.num_heads)
    query, key, value = qkv.transpose(3, 0, 2, 1, 4)
    mixed = among_tokens(query, key, value, mask, self.form).swapaxes(1, 2)
    return Dense(width, dtype=self.dtype, name="out")(mixed.reshape(tokens.shape))


class SeedPooling(nn.Module):
  """A learned seed attends to the tokens, drawn to each by a bias; an empty set pools to 0.

  The seed never changes, so that its product with the keys is one linear map of the tokens, and
  values are projected after they are pooled: the same function at a fraction of the work.
  """

  num_heads: int
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    tokens: Float[Array, "set token width"],
    bias: Float[Array, "set token"],
    mask: Bool[Array, "set token"],
  ) -> Float[Array, "set width"]:
    sets, _, width = tokens.shape
    logits = Dense(self.num_heads, use_bias=False, dtype=self.dtype, name="seed")(tokens)
    logits = logits.swapaxes(1, 2).astype(jnp.float32) + bias[:, None]
    attention = jax.nn.softmax(jnp.where(mask[:, None], logits, MASKED), axis=-1)
    attention = jnp.where(mask[:, None], attention, 0.0).astype(self.dtype)
    pooled = (attention @ tokens).reshape(sets, self.num_heads * width)
    return Dense(width, dtype=self.dtype, name="out")(pooled)


class FeedForward(nn.Module):
  """Two layers over each token by itself."""

  hidden: int
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, tokens: Float[Array, "*dims width"]) -> Float[Array, "*dims width"]:
    up = Dense(self.hidden, dtype=self.dtype, name="up")(tokens)
    # The tanh form: several times faster than erf on a processor, the same to three digits.
    up = nn.gelu(up, approximate=True)
    return Dense(tokens.shape[-1], dtype=self.dtype, name="down")(up)


class Block(nn.Module):
  """Attention, then a feed-forward part, each added to what came in."""

  config: TransformerConfig
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, tokens: Float[Array, "set token width"], mask: Bool[Array, "set token"] | None = None
  ) -> Float[Array, "set token width"]:
    config, tokens = self.config, dealt_out(tokens)
    attention = SelfAttention(config.num_heads, self.dtype, config.attention, name="attention")
    tokens = tokens + attention(normed("norm_attention", tokens), mask)
    hidden = int(config.mlp_ratio * config.width)
    return tokens + FeedForward(hidden, self.dtype, name="mlp")(normed("norm_mlp", tokens))


class Transformer(nn.Module):
  """`config.depth` blocks and a last norm; no positions of its own.

  Attributes:
    block: (config, dtype, name) -> one of the blocks.
    epsilon: of the last norm.
  """

  config: TransformerConfig
  dtype: jax.typing.DTypeLike = jnp.float32
  block: Callable[..., nn.Module] = Block
  epsilon: float = 1e-6

  @nn.compact
  def __call__(
    self, tokens: Float[Array, "set token width"], mask: Bool[Array, "set token"] | None = None
  ) -> Float[Array, "set token width"]:
    config = self.config
    run = _remembering(config)
    if config.scan:
      block = self.block(config, self.dtype, name="blocks")
      scan = nn.scan(
        run,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=nn.broadcast,
        length=config.depth,
      )
      tokens, _ = scan(block, tokens, mask)
    else:
      for depth in range(config.depth):
        block = self.block(config, self.dtype, name=f"block_{depth}")
        tokens, _ = run(block, tokens, mask)
    return normed("norm", tokens, self.epsilon)


def in_last_blocks(path: str, name: str, depth: int, number: int) -> bool | np.ndarray:
  """Whether a parameter lies in the last blocks of a `Transformer` or in the norm behind them.

  Args:
    path: of the parameter in the module that holds the transformer.
    name: of the transformer in that module.
    depth: its number of blocks.
    number: of them, counted from the end.

  Returns:
    For a parameter of scanned blocks, whose leading axis is depth: a bool for each block.
  """
  here, _, inside = path.partition("/")
  part = inside.partition("/")[0]
  if here != name:
    return False
  if part == "blocks":
    return np.arange(depth) >= depth - number
  block = part.removeprefix("block_")
  return part == "norm" or (block.isdigit() and int(block) >= depth - number)


def transformer_flops(config: TransformerConfig, num_tokens: int) -> int:
  """Operations of a `Transformer` over a set of tokens: matrix products, a multiply-add as two."""
  width, hidden = config.width, int(config.mlp_ratio * config.width)
  per_token = 2 * (4 * width**2 + 2 * width * hidden) + 4 * num_tokens * width
  return config.depth * num_tokens * per_token


def _run(block, tokens, mask):
  return block(tokens, mask), None


REMEMBERED = {
  "none": None,
  "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
  "full": jax.checkpoint_policies.nothing_saveable,
}
"""`remat` of a transformer's config -> what its backward pass need not compute again."""


def _remembering(config: TransformerConfig) -> Callable:
  """One block as a function of itself, its tokens and the mask."""
  # A scan that computes nothing again needs more memory than unrolled blocks do.
  remat = ("full" if config.scan else "none") if config.remat == "auto" else config.remat
  if remat not in REMEMBERED:
    raise BadInputError(
      "config", "remat", remat, f"one of auto, {', '.join(REMEMBERED)}", "correct the name"
    )
  if remat == "none":
    return _run
  return nn.remat(_run, prevent_cse=not config.scan, policy=REMEMBERED[remat])


def normed(
  name: str, tokens: Float[Array, "set token width"], epsilon: float = 1e-6
) -> Float[Array, "set token width"]:
  """Layer norm in float32, with parameters of that name in the module that calls."""
  norm = nn.LayerNorm(epsilon, name=name)
  return norm(tokens.astype(jnp.float32)).astype(tokens.dtype)
