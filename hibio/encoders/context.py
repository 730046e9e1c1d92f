"""A spot sees its neighbours: the same layer for images and for expression."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hibio.configs import ContextConfig
from hibio.nn.attention import attend
from hibio.nn.layers import Dense


class NeighbourContext(nn.Module):
  """Each spot attends to the spots within a radius, by content and distance, and adds a little.

  Only distances count: moving, turning or mirroring a section changes nothing. A spot without
  neighbours comes out as it went in. A spot of which nothing is known is read from its neighbours
  alone, starting from a learned vector.
  """

  config: ContextConfig
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    vectors: Float[Array, "window spot width"],
    positions_um: Float[Array, "window spot 2"],
    known: Bool[Array, "window spot"],
  ) -> Float[Array, "window spot width"]:
    """The vectors with their surroundings.

    Args:
      known: True for spots whose vector is real; no spot attends to the others.
    """
    config, shape = self.config, vectors.shape
    heads, width = config.num_heads, vectors.shape[-1]
    offsets = positions_um[:, :, None] - positions_um[:, None]
    distance = jnp.sqrt((offsets**2).sum(-1)) / config.radius_um
    near = (distance <= 1.0) & ~jnp.eye(shape[1], dtype=bool)[None] & known[:, None]
    surrounded = near.any(-1)

    unknown = self.param("hidden", nn.initializers.normal(0.02), (width,)).astype(vectors.dtype)
    own = jnp.where(known[..., None], vectors, unknown[None, None])

    def split(name, values):
      projected = Dense(width, dtype=self.dtype, name=name)(values)
      return projected.reshape(*shape[:2], heads, width // heads).swapaxes(1, 2)

    norm = nn.LayerNorm(name="norm")  # in float32
    query, others = (norm(one.astype(jnp.float32)).astype(self.dtype) for one in (own, vectors))
    slope = jnp.exp(self.param("log_slope", _log_slopes, (heads,)))
    seen = attend(
      split("query", query),
      split("key", others),
      split("value", others),
      bias=-slope[None, :, None, None] * distance[:, None],
      mask=near[:, None],
    )
    seen = Dense(width, dtype=self.dtype, name="out")(seen.swapaxes(1, 2).reshape(shape))
    gate = self.param("gate", nn.initializers.constant(0.1), (width,)).astype(self.dtype)
    return own + jnp.where(surrounded[..., None], gate[None, None] * seen, 0.0).astype(own.dtype)


def _log_slopes(key, shape, dtype=jnp.float32) -> Float[Array, " head"]:
  """Heads begin with different reaches: from nearly flat to the nearest ring."""
  return jnp.log(jnp.linspace(0.5, 4.0, shape[0], dtype=dtype))
