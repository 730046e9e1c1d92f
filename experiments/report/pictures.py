"""Pixels as text: pictures that a page carries inside itself."""

from __future__ import annotations

import base64
import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image


def jpeg(pixels: UInt8[np.ndarray, "height width 3"], quality: int = 82) -> str:
  """A photograph as a data URI."""
  return _uri(Image.fromarray(pixels), "jpeg", quality=quality)


def overlay(pixels: UInt8[np.ndarray, "height width 4"]) -> str:
  """A drawing with transparency as a data URI, without loss."""
  return _uri(Image.fromarray(pixels, "RGBA"), "webp", lossless=True, method=4)


def svg(text: str) -> str:
  """A vector drawing as a data URI."""
  return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()


def _uri(image: Image.Image, kind: str, **options) -> str:
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode()
