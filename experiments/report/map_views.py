"""Maps as the template wants them: one set of panels a section, each a picture with its caption."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.report.exhibits import GroupMap, MapRow, ValueMap
from experiments.report.panels import Canvas

_MOST_COLUMNS = 7


def tissue_views(canvases: Sequence[Canvas]) -> list[dict[str, Any]]:
  """The H&E of each section, cut to its frame, for the style sheet."""
  return [
    {"width": canvas.width_px, "height": canvas.height_px, "uri": canvas.picture()}
    for canvas in canvases
  ]


def map_row_view(row: MapRow, canvases: Sequence[Canvas]) -> dict[str, Any]:
  """A heading, an explanation and the panels of each section that has any."""
  sections = []
  for place, canvas in enumerate(canvases, start=1):
    panels = [_panel(one, canvas) for one in row.maps if canvas.tissue.section_id in _content(one)]
    if panels:
      sections.append(_section(place, canvas, panels))
  return {
    "title": row.title,
    "explanation": row.explanation,
    "legend": _shared_legend(sections),
    "sections": sections,
    "columns": min(1 + max((len(s["panels"]) for s in sections), default=0), _MOST_COLUMNS),
  }


def _shared_legend(sections: list[dict[str, Any]]) -> tuple[tuple[str, str], ...]:
  """Groups and colours of all panels, told once; panels keep only what differs from it."""
  panels = [panel for section in sections for panel in section["panels"]]
  shared: dict[str, str] = {}
  for panel in panels:
    for name, colour in panel["legend"].groups:
      if shared.setdefault(name, colour) != colour:
        return ()
  for panel in panels:
    panel["legend"] = dataclasses.replace(panel["legend"], groups=())
  return tuple(sorted(shared.items()))


def _section(place: int, canvas: Canvas, panels: list[dict[str, Any]]) -> dict[str, Any]:
  bar_um = _round_length(0.25 * canvas.width_px / canvas.px_per_um)
  return {
    "number": place,
    "name": canvas.tissue.section_id,
    "donor": canvas.tissue.donor_id,
    "pictured": canvas.tissue.pixels is not None,
    "bar_percent": round(100 * bar_um * canvas.px_per_um / canvas.width_px, 2),
    "bar_text": f"{bar_um} um" if bar_um < 1000 else f"{bar_um / 1000:g} mm",
    "panels": panels,
  }


def _panel(one: GroupMap | ValueMap, canvas: Canvas) -> dict[str, Any]:
  draw = canvas.groups if isinstance(one, GroupMap) else canvas.values
  uri, legend = draw(one)
  section_id = canvas.tissue.section_id
  figure = one.figures.get(section_id, "")
  alt = f"{one.title} over section {section_id}" + (f", {figure}" if figure else "")
  return {"title": one.title, "uri": uri, "legend": legend, "figure": figure, "alt": alt}


def _content(one: GroupMap | ValueMap) -> Mapping[str, np.ndarray]:
  return one.groups if isinstance(one, GroupMap) else one.values


def _round_length(um: float) -> int:
  """The largest of 1, 2, 5 times a power of ten that is not longer; at least 1 um."""
  um = max(um, 1.0)
  power = 10 ** int(np.floor(np.log10(um)))
  return max(step * power for step in (1, 2, 5) if step * power <= um)
