"""Colours that survive colour blindness and grey paper."""

from __future__ import annotations

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8

OKABE_ITO = (
  "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#7F7F7F",
)  # fmt: skip
"""Eight colours told apart by all (Okabe & Ito 2008, jfly.uni-koeln.de/color); grey for black,
which dark tissue would hide."""

VALUES = "viridis"
"""For values: even in lightness from dark to bright."""


def of_groups(count: int) -> list[str]:
  """A colour a group: Okabe-Ito up to eight groups, beyond that tab20 over and over."""
  if count <= len(OKABE_ITO):
    return list(OKABE_ITO[:count])
  wheel = [matplotlib.colors.to_hex(colour) for colour in matplotlib.colormaps["tab20"].colors]
  return [wheel[number % len(wheel)] for number in range(count)]


def of_values(shares: Float[np.ndarray, " spot"]) -> UInt8[np.ndarray, "spot 3"]:
  """Colours of values between 0 and 1."""
  return (255 * matplotlib.colormaps[VALUES](shares)[:, :3]).round().astype(np.uint8)


def gradient(stops: int = 9) -> str:
  """The colours of values as a CSS gradient, low to high."""
  colours = matplotlib.colormaps[VALUES](np.linspace(0, 1, stops))
  return f"linear-gradient(to right, {', '.join(map(matplotlib.colors.to_hex, colours))})"


def rgb(colour: str) -> tuple[int, int, int]:
  """#rrggbb as three numbers."""
  return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))
