"""Slides in the formats of scanners, by OpenSlide where it is installed."""

import numpy as np
import pytest
from PIL import Image

from data_pipelines import scanner_slide
from data_pipelines.problems import BadInputError
from data_pipelines.slide_image import SlideImage
from experiments.benchmarks.crops import write_tiled


def test_openslide_cuts_the_patches_that_the_tiled_reader_cuts(tmp_path):
  pytest.importorskip("openslide", reason="needs the extra slides")
  small = np.random.default_rng(0).integers(0, 256, (12, 18, 3), np.uint8)
  image = Image.fromarray(small).resize((1500, 1000), Image.Resampling.BICUBIC)
  write_tiled(tmp_path / "slide.tiff", [np.asarray(image)], 128)
  (tmp_path / "slide.svs").write_bytes((tmp_path / "slide.tiff").read_bytes())
  tiled, scanner = (SlideImage.open(tmp_path / f"slide.{end}") for end in ("tiff", "svs"))
  assert scanner_slide.reads(scanner.path)
  assert (scanner.width_px, scanner.height_px) == (1500, 1000)
  centres = np.random.default_rng(1).uniform((-20, -20), (1520, 1020), (20, 2))
  sizes = [(200.0, 64), (50.5, 64)]
  for one, other in zip(tiled.views(centres, sizes), scanner.views(centres, sizes), strict=True):
    for patch, same in zip(one, other, strict=True):
      assert np.abs(patch.astype(int) - same).max() <= 2  # resampling
  (tmp_path / "slide.ndpi").write_bytes(b"not a slide")
  with pytest.raises(BadInputError, match="not readable by OpenSlide"):
    SlideImage.open(tmp_path / "slide.ndpi")


def test_without_openslide_the_message_says_what_to_install(tmp_path, monkeypatch):
  monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
  (tmp_path / "slide.mrxs").write_bytes(b"")
  with pytest.raises(BadInputError, match=r"pip install 'hibio-st\[slides\]'"):
    SlideImage.open(tmp_path / "slide.mrxs")
