"""Independent random streams by name, so that one part's draws never shift another's."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
  """A generator that depends on the seed and the names alone; the same on every machine."""
  words = [zlib.crc32(str(name).encode()) for name in names]
  return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))
