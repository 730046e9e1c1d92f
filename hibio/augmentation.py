"""Changes to what is read that leave the biology alone: symmetries of the square, stain.

Stains absorb light by the law of Beer and Lambert: optical density, -ln(transmitted share), is a
sum over stains of their amount times their colour. Amounts differ between laboratories; here they
vary from window to window, as from section to section. White, where no stain is, stays white.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from hibio.batch import Batch
from hibio.configs import AugmentationConfig

_STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], np.float32)
"""Optical density of haematoxylin, eosin and a residual (DAB) in red, green and blue.

Ruifrok and Johnston 2001, PMID 11531144; the values scikit-image uses.
"""
_STAINS /= np.linalg.norm(_STAINS, axis=1, keepdims=True)


def augment(key: jax.Array, batch: Batch, config: AugmentationConfig) -> Batch:
  """The batch with other views of its patches; the same ones for the same key."""
  if not batch.patches.size:
    return batch
  turn_key, stain_key = jax.random.split(key)
  patches = jnp.asarray(batch.patches)
  if config.flips_and_rotations:
    patches = turned(patches, jax.random.randint(turn_key, patches.shape[:2], 0, 8))
  if config.stain_strength > 0 or config.stain_shift > 0:
    strength_key, shift_key = jax.random.split(stain_key)
    of_each = (patches.shape[0], 3)
    amounts = jnp.exp(config.stain_strength * jax.random.normal(strength_key, of_each))
    shifts = config.stain_shift * jax.random.normal(shift_key, of_each)
    patches = restained(patches, amounts, shifts)
  return batch.replace(patches=patches)


def turned(
  patches: UInt8[Array, "window spot side side 3"], symmetry: Array
) -> UInt8[Array, "window spot side side 3"]:
  """Each patch under one of the eight symmetries of a square; 0 leaves it alone.

  Args:
    symmetry: a number a patch: 1 mirrors left to right, 2 upside down, 4 along the diagonal, after
      one another.
  """

  def where(bit, changed, patches):
    return jnp.where((symmetry & bit)[..., None, None, None] > 0, changed, patches)

  patches = where(1, patches[:, :, :, ::-1], patches)
  patches = where(2, patches[:, :, ::-1], patches)
  return where(4, patches.swapaxes(2, 3), patches)


def restained(
  patches: UInt8[Array, "window spot height width 3"],
  amounts: Float[Array, "window 3"],
  shifts: Float[Array, "window 3"],
) -> UInt8[Array, "window spot height width 3"]:
  """Patches with other amounts of haematoxylin, eosin and residual stain.

  Args:
    amounts: each stain's amount over what it was.
    shifts: added to the optical density of red, green and blue, as far as a pixel absorbs light.
  """
  light = jnp.maximum(patches.astype(jnp.float32), 1.0) / 255.0
  unmixed = np.linalg.inv(_STAINS)
  remixed = jnp.einsum("rs,ws,sc->wrc", unmixed, amounts, _STAINS)
  density = jnp.einsum("wshxr,wrc->wshxc", -jnp.log(light), remixed)
  tissue = 1.0 - light.min(-1, keepdims=True)
  density = density + tissue * shifts[:, None, None, None]
  return jnp.clip(jnp.round(255.0 * jnp.exp(-density)), 0.0, 255.0).astype(jnp.uint8)
