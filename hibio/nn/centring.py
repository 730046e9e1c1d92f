"""The mean of all spots is taken away from every vector, so that embeddings point everywhere.

Vectors that share a large mean lie in a narrow cone once they are scaled to length 1: all cosines
are then about 1, and a contrast of them begins at a plateau. While training, the mean of the batch
is taken away; a tracked mean follows it and takes its place afterwards, so that what a frozen model
says of a spot does not depend on what else is in the batch.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

TRACKED = "tracked_mean"
"""Name of the parameter that follows the mean; it has a pace of its own, whatever is learned."""


class Centring(nn.Module):
  """Vectors less the mean of those that are known.

  References:
    The centring half of Ioffe and Szegedy 2015, arXiv:1502.03167.
  """

  @nn.compact
  def __call__(
    self,
    vectors: Float[Array, "window spot width"],
    known: Bool[Array, "window spot"],
    *,
    train: bool = False,
  ) -> Float[Array, "window spot width"]:
    tracked = self.param(TRACKED, nn.initializers.zeros, (vectors.shape[-1],))
    mean = tracked
    if train:
      total = jnp.where(known[..., None], vectors, 0.0).sum((0, 1), dtype=jnp.float32)
      count = known.sum(dtype=jnp.float32)
      # Where nothing is known, as in a batch without images, there is nothing to follow.
      still = jax.lax.stop_gradient(tracked)
      mean = _followed(jnp.where(count > 0, total / jnp.maximum(count, 1.0), still), tracked)
    return vectors - mean[None, None].astype(vectors.dtype)


@jax.custom_vjp
def _followed(mean: Float[Array, " width"], tracked: Float[Array, " width"]):
  """`mean`; what goes back to `tracked` as its gradient is its distance from `mean`."""
  del tracked
  return mean


def _forward(mean, tracked):
  return mean, tracked - mean


_followed.defvjp(_forward, lambda distance, gradient: (gradient, distance))
