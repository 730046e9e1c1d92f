"""Spots drawn on their sections."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_pipelines import inspect
from data_pipelines.overlays import Sheet
from data_pipelines.problems import BadInputError
from tests.data_pipelines import hand_made, raw_folders


def test_every_spot_has_a_ring_where_it_lies_and_as_large_as_it_is(tmp_path):
  section = hand_made.section("A", "A", rows=3, columns=3)
  sheet = Sheet(tmp_path / "a.png")
  sheet.add(section, alone=True)
  assert sheet.write()
  with Image.open(tmp_path / "a.png") as image:
    pixels = np.asarray(image)[30:]
  ringed = (pixels != 255).any(-1)
  low = section.positions_px.min(0) - 2 * section.spot_um / section.um_per_px
  high = section.positions_px.max(0) + 2 * section.spot_um / section.um_per_px
  scale = 1500 / (high - low).max()
  radius = section.spot_um / section.um_per_px * scale / 2
  for x, y in (section.positions_px - low) * scale:
    for angle in np.linspace(0, 2 * np.pi, 9):
      at = np.array([y + radius * np.sin(angle), x + radius * np.cos(angle)]).round().astype(int)
      assert ringed[at[0] - 2 : at[0] + 3, at[1] - 2 : at[1] + 3].any()
    assert not ringed[round(y), round(x)]


def test_inspect_draws_all_sections_on_one_sheet(tmp_path, capsys):
  for name in ("a", "b"):
    raw_folders.visium(tmp_path / name / "outs", seed=len(name))
  assert inspect.report(tmp_path, overlay=tmp_path / "sheet.png") in (0, 1)
  assert "spots on tissue" in capsys.readouterr().out
  with Image.open(tmp_path / "sheet.png") as image:
    assert image.width == 1400


def test_a_sheet_must_be_a_png():
  with pytest.raises(BadInputError, match=r"\.png"):
    Sheet(Path("sheet.pdf"))
