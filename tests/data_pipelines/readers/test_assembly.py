"""Spots that lie beside an image are refused with what to do about it."""

from pathlib import Path

import numpy as np
import pytest

from data_pipelines.problems import BadInputError
from data_pipelines.readers.assembly import on_image
from data_pipelines.slide_image import ArrayImage

IMAGE = ArrayImage.of("tissue.h5ad", (100, 400, 3), "hires", lambda: None)  # 400 wide, 100 high
WIDE = np.stack(np.meshgrid(np.arange(0.0, 400, 20), np.arange(0.0, 100, 20)), -1).reshape(-1, 2)


def said(positions):
  with pytest.raises(BadInputError) as problem:
    on_image(positions, IMAGE, Path("positions.csv"), 0.9, "scale the image")
  return str(problem.value)


def test_spots_on_an_image_are_told_from_those_beside_it():
  beside = np.array([[400.0, 10], [10, 100], [-1, 10]])
  inside = on_image(np.concatenate([WIDE, beside]), IMAGE, Path("positions.csv"), 0.9, "")
  assert inside.tolist() == [True] * len(WIDE) + [False] * 3


def test_swapped_axes_are_named():
  assert "x and y seem exchanged" in said(WIDE[:, ::-1])


def test_swapped_axes_are_not_named_where_they_would_mirror_the_array():
  with pytest.raises(BadInputError) as problem:
    on_image(WIDE[:, ::-1], IMAGE, Path("positions.csv"), 0.9, "turn it back", as_printed=True)
  assert problem.value.fix.startswith("turn it back")


def test_positions_of_a_larger_image_get_the_scale_that_fits():
  found = said(4 * WIDE)
  assert "outside the hires image tissue.h5ad, 400 x 100 px (x 0 to 1520, y 0 to 320)" in found
  assert "Fix: scale the image (for the spots to fit, at most 0.263 times what it is now)" in found
