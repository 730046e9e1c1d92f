"""Baselines of a patch: its colour, its texture, its nuclei, what a frozen encoder says of it."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from data_pipelines.features import store
from hibio.encoders.catalogue import UNTRAINED
from hibio.evaluation.baselines.base import Features, Given

Patches = UInt8[np.ndarray, "spot height width 3"]


def colour_statistics(
  patches: UInt8[np.ndarray, "spot height width 3"],
) -> Float[np.ndarray, "spot 18"]:
  """Mean, sd and the 10th, 50th and 90th percentile of optical density by colour, and mean RGB.

  What remains of an H&E image when all layout is thrown away.
  """
  pixels = patches.reshape(len(patches), -1, 3).astype(np.float32)
  density = -np.log10((pixels + 1.0) / 256.0)
  percentiles = np.percentile(density, (10, 50, 90), axis=1)
  return np.concatenate(
    [density.mean(1), density.std(1), *percentiles, pixels.mean(1) / 255.0], axis=1
  ).astype(np.float32)


_LEVELS = 8
_RING = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
"""The eight neighbours of a pixel, in order round it."""


def texture_statistics(
  patches: UInt8[np.ndarray, "spot height width 3"],
) -> Float[np.ndarray, "spot 21"]:
  """Gradient (3 numbers), local binary patterns (10) and co-occurrence (2 x 4) of grey levels.

  Numbers are of neighbouring pixels: patches to compare must have one resolution.
  """
  grey = (patches @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.float32)
  levels = np.minimum(grey * (_LEVELS / 256), _LEVELS - 1).astype(np.uint8)
  return np.concatenate(
    [
      _gradient(grey),
      _local_binary_patterns(np.rint(grey).astype(np.uint8)),
      _co_occurrence(levels[:, :, :-1], levels[:, :, 1:]),
      _co_occurrence(levels[:, :-1], levels[:, 1:]),
    ],
    axis=1,
  ).astype(np.float32)


def _gradient(grey: Float[np.ndarray, "spot height width"]) -> Float[np.ndarray, "spot 3"]:
  """Mean and sd of the gradient's length, and how far it keeps to one direction (0 to 1).

  The last is the coherence of the structure tensor: 1 for parallel fibres, 0 for dots.
  """
  down, right = (ndimage.sobel(grey / 255, axis) for axis in (1, 2))
  length = np.hypot(down, right)
  dd, rr, dr = ((a * b).mean((1, 2)) for a, b in ((down, down), (right, right), (down, right)))
  aligned = np.hypot(dd - rr, 2 * dr) / np.maximum(dd + rr, 1e-12)
  return np.stack([length.mean((1, 2)), length.std((1, 2)), aligned], axis=1)


def _local_binary_patterns(
  grey: UInt8[np.ndarray, "spot height width"],
) -> Float[np.ndarray, "spot 10"]:
  """Shares of the rotation-invariant uniform patterns of the eight neighbours.

  References:
    Ojala et al. 2002, doi:10.1109/TPAMI.2002.1017623, with neighbours on the pixel grid.
  """
  _, height, width = grey.shape
  centre = grey[:, 1:-1, 1:-1]
  brighter = [
    grey[:, 1 + dy : height - 1 + dy, 1 + dx : width - 1 + dx] >= centre for dy, dx in _RING
  ]
  ones = np.sum(brighter, axis=0, dtype=np.uint8)
  changes = np.sum([brighter[n] != brighter[n - 1] for n in range(8)], axis=0, dtype=np.uint8)
  return _shares(np.where(changes <= 2, ones, 9), 10)


def _co_occurrence(
  first: UInt8[np.ndarray, "spot height width"], second: UInt8[np.ndarray, "spot height width"]
) -> Float[np.ndarray, "spot 4"]:
  """Contrast, homogeneity, energy and correlation of the grey levels of neighbouring pixels.

  References:
    Haralick et al. 1973, doi:10.1109/TSMC.1973.4309314, symmetric, at distance 1.
  """
  table = _shares(first * np.uint8(_LEVELS) + second, _LEVELS**2).reshape(-1, _LEVELS, _LEVELS)
  table = (table + table.transpose(0, 2, 1)) / 2
  level = np.arange(_LEVELS, dtype=np.float32)
  apart = level[:, None] - level[None, :]
  marginal = table.sum(2)
  mean = marginal @ level
  variance = marginal @ level**2 - mean**2
  product = np.einsum("sab,a,b->s", table, level, level) - mean**2
  return np.stack(
    [
      (table * apart**2).sum((1, 2)),
      (table / (1 + apart**2)).sum((1, 2)),
      (table**2).sum((1, 2)),
      # A patch of one grey level agrees with itself.
      np.where(variance > 1e-6, product / np.maximum(variance, 1e-6), 1.0),
    ],
    axis=1,
  )


def _shares(
  codes: UInt8[np.ndarray, "spot height width"], num_codes: int
) -> Float[np.ndarray, "spot code"]:
  """How often each code comes in each patch, as shares."""
  flat = codes.reshape(len(codes), -1)
  offset = np.arange(len(flat))[:, None] * num_codes
  counts = np.bincount((flat + offset).ravel(), minlength=len(flat) * num_codes)
  return (counts.reshape(len(flat), num_codes) / flat.shape[1]).astype(np.float32)


HAEMATOXYLIN = (0.65, 0.70, 0.29)
EOSIN = (0.07, 0.99, 0.11)
"""Optical density in red, green, blue of one unit of stain (Ruifrok & Johnston 2001)."""

_RADIUS_UM = 3.5
"""Of a small nucleus; the smoothing and the distance between two maxima follow it."""
_MIN_STAIN = 0.25
_MIN_CONTRAST = 0.1
"""Haematoxylin that a nucleus reaches after smoothing, and by how much it stands out of what
surrounds it within a few radii."""


def haematoxylin(
  patches: UInt8[np.ndarray, "spot height width 3"],
) -> Float[np.ndarray, "spot height width"]:
  """Amount of haematoxylin in each pixel, by colour deconvolution; 0 where there is less than none.

  Eosin and whatever neither stain explains are taken out.

  References:
    Ruifrok & Johnston 2001, Anal Quant Cytol Histol 23:291.
  """
  stains = np.array([HAEMATOXYLIN, EOSIN])
  stains /= np.linalg.norm(stains, axis=1, keepdims=True)
  # The pseudo-inverse is the inverse of Ruifrok's matrix with a third stain at right angles.
  density = -np.log10((np.arange(256, dtype=np.float32) + 1) / 256)[patches]
  return np.maximum(density @ np.linalg.pinv(stains)[:, 0].astype(np.float32), 0.0)


def nuclei_count(
  patches: UInt8[np.ndarray, "spot height width 3"], um_per_px: float
) -> Float[np.ndarray, " spot"]:
  """Number of nuclei in each patch: maxima of smoothed haematoxylin that are dark enough.

  Good for comparing patches of one resolution. Nuclei that touch may count as one, and above about
  4 um a pixel a nucleus is a dot.
  """
  sigma = _RADIUS_UM / 2 / um_per_px
  stain = haematoxylin(patches)
  smooth = ndimage.gaussian_filter(stain, (0, sigma, sigma))
  size = 2 * max(1, round(_RADIUS_UM / um_per_px)) + 1
  highest = ndimage.maximum_filter(smooth, (1, size, size))
  surroundings = ndimage.gaussian_filter(stain, (0, 4 * sigma, 4 * sigma))
  nucleus = (smooth == highest) & (smooth > _MIN_STAIN) & (smooth - surroundings > _MIN_CONTRAST)
  return nucleus.sum((1, 2)).astype(np.float32)


def colour(patches: Patches, um_per_px: float) -> Features:
  """Of any resolution."""
  del um_per_px
  return colour_statistics(patches)


def texture(patches: Patches, um_per_px: float) -> Features:
  """Of the resolution that all patches of a corpus have."""
  del um_per_px
  return texture_statistics(patches)


def nuclei(patches: Patches, um_per_px: float) -> Features:
  """One number."""
  return nuclei_count(patches, um_per_px)[:, None]


def frozen(given: Given) -> Features | None:
  """The features that the corpus is read with, as a model reads them."""
  if given.corpus.features is None:
    return None
  return given.corpus.feature_input[given.cohort.spots["spot_index"]]


def frozen_untrained(given: Given) -> Features | None:
  """The same of the encoder's untrained twin, where its features lie beside the corpus."""
  corpus = given.corpus
  if corpus.features is None or corpus.features.name + UNTRAINED not in store.names(corpus.path):
    return None
  twin = corpus.with_features(corpus.features.name + UNTRAINED)
  return frozen(dataclasses.replace(given, corpus=twin))
