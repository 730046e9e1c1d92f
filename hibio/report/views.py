"""Tasks as the template wants them: texts, pictures and tables, nothing left to compute."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hibio.evaluation.rows import Row
from hibio.report import canvas, vocabulary
from hibio.report.canvas import Canvas, length_in_words, round_length
from hibio.report.exhibits import (
  Absent,
  Chart,
  Confusion,
  Exhibits,
  GroupMap,
  Hit,
  Listing,
  MapRow,
  Retrieval,
  ValueMap,
)
from hibio.report.headlines import HeadlineLine, headlines
from hibio.report.tables import TaskTable, number, task_tables

_OPEN_LINES = 24
"""A longer table starts folded."""


@dataclasses.dataclass(frozen=True)
class TaskView:
  """A section of the page; the rest are dictionaries that `pieces.html` reads."""

  task: str
  id: str
  about: vocabulary.Task
  short: str
  tables: list[dict[str, Any]]
  map_rows: list[dict[str, Any]]
  confusions: list[dict[str, Any]]
  retrievals: list[dict[str, Any]]
  retrievals_explained: str
  absent: list[Absent]
  charts: list[dict[str, Any]]
  listings: list[Listing]
  parts: list[dict[str, Any]]


def task_views(
  rows: Sequence[Row],
  exhibits: Exhibits,
  canvases: Sequence[Canvas],
) -> list[TaskView]:
  """A section a task, for every task that has rows or something to show."""
  tables = task_tables(rows)
  lines = list(headlines(rows))
  views = []
  for place, task in enumerate(_tasks(rows, exhibits)):
    ident = f"task-{place}-" + re.sub(r"[^a-z0-9]+", "-", task.lower()).strip("-")
    own = [table for table in tables if table.task == task]
    views.append(
      TaskView(
        task=task,
        id=ident,
        about=vocabulary.task_of(task),
        short=task.replace("_", " ").capitalize(),
        tables=[_table(table, f"{ident}-{number}") for number, table in enumerate(own)],
        map_rows=[map_row_view(row, canvases) for row in exhibits.map_rows if row.task == task],
        confusions=[_confusion(one) for one in exhibits.confusions if one.task == task],
        retrievals=[_retrieval(r) for r in exhibits.retrievals] if task == "retrieval" else [],
        retrievals_explained=exhibits.retrievals_explained,
        absent=[one for one in exhibits.absent if one.task == task],
        charts=[_chart(one) for one in exhibits.charts if one.task == task],
        listings=[one for one in exhibits.listings if one.task == task],
        parts=[_parts(line) for line in lines if line.model.task == task and line.model.parts],
      )
    )
  return views


def _tasks(rows: Sequence[Row], exhibits: Exhibits) -> list[str]:
  """Tasks of the rows and of the exhibits; known ones first, in the order of the vocabulary."""
  kinds = (exhibits.map_rows, exhibits.confusions, exhibits.charts, exhibits.listings)
  shown = [one.task for one in (*itertools.chain(*kinds), *exhibits.absent)]
  shown += ["retrieval"] if exhibits.retrievals else []
  found = dict.fromkeys([*(row.task for row in rows), *shown])
  known = [task for task in vocabulary.TASKS if task in found]
  return [*known, *(task for task in found if task not in known)]


def _table(table: TaskTable, ident: str) -> dict[str, Any]:
  metrics = dict.fromkeys(line.metric for block in table.blocks for line in block.lines)
  return {
    "table": table,
    "id": ident,
    "open": sum(len(block.lines) for block in table.blocks) <= _OPEN_LINES,
    "metrics": vocabulary.metrics_explained(metrics),
    "methods": vocabulary.methods_explained(column.method for column in table.columns),
  }


def _parts(line: HeadlineLine) -> dict[str, Any]:
  rows = [row for row in (line.model, line.untrained, line.baseline) if row is not None]
  names = dict.fromkeys(name for row in rows for name in row.parts)
  return {
    "title": f"{line.model.metric} {vocabulary.seen_in_words(line.sees)}".strip(),
    "methods": [row.method for row in rows],
    "lines": [
      (name, [number(row.parts[name]) if name in row.parts else "" for row in rows])
      for name in names
    ],
  }


def _chart(one: Chart) -> dict[str, Any]:
  return {"title": one.title, "explanation": one.explanation, "uri": canvas.png(one.png)}


def _confusion(one: Confusion) -> dict[str, Any]:
  lines = []
  for place, (name, counts) in enumerate(zip(one.classes, one.matrix, strict=True), start=1):
    total = int(counts.sum())
    shares = counts / max(total, 1)
    cells = [
      {"share": round(100 * float(share), 1), "text": f"{share:.0%}" if total else ""}
      for share in shares
    ]
    lines.append({"name": name, "index": place, "cells": cells, "total": f"{total:,}"})
  return {"title": one.title, "classes": one.classes, "lines": lines}


def _retrieval(one: Retrieval) -> dict[str, Any]:
  return {
    "uri": canvas.jpeg(one.patch, quality=88),
    "section_id": one.section_id,
    "rank": one.rank,
    "gallery": one.gallery,
    "keywords": one.keywords,
    "hits": [
      {
        "uri": canvas.jpeg(hit.patch, quality=88),
        "section_id": hit.section_id,
        "where": _where(hit, one.section_id),
        "cosine": hit.cosine,
        "keywords": hit.keywords,
        "is_query": hit.is_query,
      }
      for hit in one.hits
    ],
  }


def _where(hit: Hit, section_id: str) -> str:
  if hit.is_query:
    return "its own"
  if hit.section_id == section_id and hit.distance_um is not None:
    return f"{hit.distance_um / 1000:.1f} mm off"
  return hit.section_id


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
  for place, shown in enumerate(canvases, start=1):
    panels = [_panel(m, shown) for m in row.maps if shown.tissue.section_id in _content(m)]
    if panels:
      sections.append(_section(place, shown, panels))
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
  bar_um = round_length(0.25 * canvas.width_px / canvas.px_per_um)
  return {
    "number": place,
    "name": canvas.tissue.section_id,
    "donor": canvas.tissue.donor_id,
    "pictured": canvas.tissue.pixels is not None,
    "bar_percent": round(100 * bar_um * canvas.px_per_um / canvas.width_px, 2),
    "bar_text": length_in_words(bar_um),
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
