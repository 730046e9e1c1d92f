"""Spots drawn on their sections: what lies where can be seen at a glance."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data_pipelines.console import counted
from data_pipelines.files import write_bytes
from data_pipelines.problems import BadInputError
from data_pipelines.section import Section

_ALONE_PX, _PANEL_PX, _TITLE_PX = 1500, 700, 30
_LINE = (0, 90, 255)


class Sheet:
  """A PNG with a panel for each section: its image, a ring for each spot as large as a spot is.

  Without an image the spots are drawn on white. Only the panels are kept in memory.

  Raises:
    BadInputError: another ending than .png.
  """

  def __init__(self, path: Path):
    if path.suffix.lower() != ".png":
      raise BadInputError("--overlay", "value", repr(path.name), "a name ending in .png", "rename")
    self.path = path
    self._panels: list[Image.Image] = []

  def add(self, section: Section, *, alone: bool = False) -> None:
    """A panel; larger where it is the only one."""
    self._panels.append(_panel(section, _ALONE_PX if alone else _PANEL_PX))

  def write(self) -> bool:
    """Writes the file; False where there is nothing to be drawn."""
    if not self._panels:
      return False
    across = int(np.ceil(np.sqrt(len(self._panels))))
    width, height = (max(panel.size[axis] for panel in self._panels) for axis in (0, 1))
    sheet = Image.new("RGB", (across * width, -(-len(self._panels) // across) * height), "white")
    for number, panel in enumerate(self._panels):
      sheet.paste(panel, (number % across * width, number // across * height))
    self.path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(self.path, _png(sheet))
    return True


def _panel(section: Section, longest: int) -> Image.Image:
  if section.image is None:
    low = section.positions_px.min(0) - 2 * section.spot_um / section.um_per_px
    size = section.positions_px.max(0) + 2 * section.spot_um / section.um_per_px - low
    scale = longest / size.max()
    picture = Image.new("RGB", tuple(np.maximum(np.round(size * scale), 1).astype(int)), "white")
  else:
    low, picture = np.zeros(2), Image.fromarray(section.image.thumbnail(longest))
    larger = longest / max(picture.size)
    picture = picture.resize([round(side * larger) for side in picture.size])
    scale = picture.width / section.image.width_px
  pen = ImageDraw.Draw(picture)
  radius = max(section.spot_um / section.um_per_px * scale / 2, 1.0)
  for x, y in ((section.positions_px - low) * scale).tolist():
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=_LINE)
  panel = Image.new("RGB", (picture.width, picture.height + _TITLE_PX), "white")
  panel.paste(picture, (0, _TITLE_PX))
  number = counted(section.num_spots, "spots")
  title = f"{section.section_id}: {number}, {section.um_per_px:.3g} µm a pixel"
  font = ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), 20)
  ImageDraw.Draw(panel).text((4, 3), title, fill="black", font=font)
  return panel


def _png(image: Image.Image) -> bytes:
  buffer = io.BytesIO()
  image.save(buffer, "PNG")
  return buffer.getvalue()
