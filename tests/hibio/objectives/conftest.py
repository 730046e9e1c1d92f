"""Pairs of spots on a small lattice of two sections, one of them partly padding."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from hibio.objectives.inputs import Pairs
from tests.hibio.fake import unit_vectors


@pytest.fixture
def rng() -> np.random.Generator:
  return np.random.default_rng(0)


@pytest.fixture
def pairs(rng) -> Pairs:
  """24 spots of width 8, 100 um apart; the sections overlap in their coordinates."""
  image = unit_vectors(rng, 24, 8)
  gene = image + 0.7 * rng.normal(size=image.shape).astype(np.float32)
  gene /= np.linalg.norm(gene, axis=-1, keepdims=True)
  lattice = np.stack(np.divmod(np.arange(12), 4), -1) * 100.0
  return Pairs(
    image=jnp.asarray(image),
    gene=jnp.asarray(gene),
    valid=jnp.asarray(np.arange(24) % 7 != 3),
    positions_um=jnp.asarray(np.concatenate([lattice, lattice]).astype(np.float32)),
    section=jnp.asarray(np.repeat([0, 1], 12).astype(np.int32)),
  )
