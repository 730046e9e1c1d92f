"""A corpus of two sections with an image and one without."""

import pytest

from data_pipelines.loading.corpus import Corpus
from data_pipelines.prepare import PrepareOptions, prepare
from tests.data_pipelines import hand_made


def sections(folder):
  images = {name: hand_made.picture(folder, name) for name in ("A1", "B1")}
  return [
    *(hand_made.section(name, name[0], rows=6, image=image) for name, image in images.items()),
    hand_made.section("C1", "C", rows=5),
  ]


@pytest.fixture
def corpus(tmp_path, monkeypatch):
  hand_made.hand_over(monkeypatch, map(hand_made.Source, sections(tmp_path)))
  options = PrepareOptions(
    window_spots=24, test_donors=("B",), validation_donors=(), patch_um=80.0, patch_px=16,
    region_spots=(8, 24),
  )  # fmt: skip
  prepare([tmp_path], tmp_path / "corpus", options)
  return Corpus.open(tmp_path / "corpus")
