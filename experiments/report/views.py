"""Rows and exhibits as the template wants them: texts, data URIs and positions, nothing to compute."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.report import panels, pictures, vocabulary
from experiments.report.dot_plot import dot_plot
from experiments.report.exhibits import Confusion, Exhibits, GroupMap, Hit, MapRow, Retrieval, Tissue
from experiments.report.headlines import HeadlineLine, headlines
from experiments.report.methods import lower_is_better, seen_in_words
from experiments.report.tables import number, task_tables
from hibio.tasks.rows import Row

_SIGNS = {"above": "▲", "ties": "=", "below": "▼", "unknown": ""}
_KEYWORDS_SHOWN = 6


@dataclasses.dataclass
class TaskView:
  """A section of the page."""

  task: str
  id: str
  title: str
  short: str
  explained: str
  tables: list[dict[str, Any]]
  map_rows: list[dict[str, Any]]
  confusions: list[dict[str, Any]]
  retrievals: list[dict[str, Any]]
  retrievals_explained: str
  absent: list
  parts: list[dict[str, Any]]


def summary_view(
  rows: Sequence[Row], model_methods: Sequence[str], task_ids: dict[str, str]
) -> list[dict[str, Any]]:
  """The lines of the first screen."""
  return [
    {
      "question": line.headline.question,
      "task_id": task_ids[line.model.task],
      "metric": line.model.metric,
      "protocol": line.model.protocol,
      "sees": seen_in_words(line.sees),
      "lower": lower_is_better(line.model.metric),
      "plot": dot_plot(line),
      "model": _figure(line.model),
      "untrained": _figure(line.untrained),
      "baseline": _figure(line.baseline),
      "baseline_name": line.baseline.method if line.baseline else "",
      "chance": number(line.model.chance) if line.model.chance is not None else "-",
      "word": _judged(line).word,
      "sign": _SIGNS[_judged(line).word],
      "says": _says(line),
      "warnings": line.warnings,
    }
    for line in headlines(rows, model_methods)
  ]


def task_views(
  rows: Sequence[Row], exhibits: Exhibits, model_methods: Sequence[str]
) -> list[TaskView]:
  """A section a task, for every task that has rows or something to show."""
  tables = task_tables(rows, model_methods)
  lines = list(headlines(rows, model_methods))
  with_exhibits = [one.task for one in (*exhibits.map_rows, *exhibits.confusions, *exhibits.absent)]
  with_exhibits += ["retrieval"] if exhibits.retrievals else []
  found = dict.fromkeys([*(row.task for row in rows), *with_exhibits])
  known = [task for task in vocabulary.TASKS if task in found]
  views = []
  for place, task in enumerate([*known, *(task for task in found if task not in known)]):
    ident = f"task-{place}-" + re.sub(r"[^a-z0-9]+", "-", task.lower()).strip("-")
    title = vocabulary.task_title(task)
    views.append(
      TaskView(
        task=task,
        id=ident,
        title=title,
        short=task.replace("_", " ").capitalize(),
        explained=vocabulary.task_explained(task),
        tables=[
          {"table": table, "id": f"{ident}-{number}", "title": title}
          for number, table in enumerate(t for t in tables if t.task == task)
        ],
        map_rows=[_map_row(row, exhibits.tissues) for row in exhibits.map_rows if row.task == task],
        confusions=[_confusion(one) for one in exhibits.confusions if one.task == task],
        retrievals=[_retrieval(r) for r in exhibits.retrievals] if task == "retrieval" else [],
        retrievals_explained=exhibits.retrievals_explained,
        absent=[one for one in exhibits.absent if one.task == task],
        parts=[_parts(line) for line in lines if line.model.task == task and line.model.parts],
      )
    )
  return views


def tissue_views(tissues: Sequence[Tissue]) -> list[dict[str, Any]]:
  """The H&E of each section, cut to its frame, for the style sheet."""
  views = []
  for tissue in tissues:
    view = panels.frame(tissue)
    views.append(
      {"width": view.width_px, "height": view.height_px, "uri": panels.tissue_picture(tissue, view)}
    )
  return views


def _figure(row: Row | None) -> str:
  if row is None:
    return "-"
  if row.value is None:
    return "n/a" + (f" ({row.note})" if row.note else "")
  return number(row.value) + (f" ± {number(row.spread)}" if row.spread is not None else "")


def _judged(line: HeadlineLine):
  return line.against_baseline if line.baseline else line.against_untrained


def _says(line: HeadlineLine) -> str:
  word = _judged(line).word
  if word == "unknown":
    return "no value to compare"
  if line.baseline is None:
    return {"ties": "ties with"}.get(word, word) + " untrained (no simple baseline)"
  return {"ties": "ties"}.get(word, word)


def _parts(line: HeadlineLine) -> dict[str, Any]:
  rows = [row for row in (line.model, line.untrained, line.baseline) if row is not None]
  names = dict.fromkeys(name for row in rows for name in row.parts)
  sees = seen_in_words(line.sees)
  return {
    "title": f"{line.model.metric} {sees}".strip(),
    "methods": [row.method for row in rows],
    "lines": [
      (name, [number(row.parts[name]) if name in row.parts else "" for row in rows])
      for name in names
    ],
  }


def _map_row(row: MapRow, tissues: Sequence[Tissue]) -> dict[str, Any]:
  sections = []
  for place, tissue in enumerate(tissues, start=1):
    view = panels.frame(tissue)
    drawn = [_panel(one, tissue, view) for one in row.maps if tissue.section_id in _content(one)]
    if drawn:
      bar_um = _round_length(0.25 * view.width_px / view.px_per_um)
      sections.append(
        {
          "number": place,
          "name": tissue.section_id,
          "donor": tissue.donor_id,
          "pictured": tissue.pixels is not None,
          "bar_percent": round(100 * bar_um * view.px_per_um / view.width_px, 2),
          "bar_text": f"{bar_um:,} um" if bar_um < 1000 else f"{bar_um / 1000:g} mm",
          "panels": drawn,
        }
      )
  return {"title": row.title, "explanation": row.explanation, "sections": sections}


def _panel(one, tissue: Tissue, view: panels.Frame) -> dict[str, Any]:
  draw = panels.group_layer if isinstance(one, GroupMap) else panels.value_layer
  uri, legend = draw(one, tissue, view)
  figure = one.figures.get(tissue.section_id, "")
  alt = f"{one.title} over section {tissue.section_id}" + (f", {figure}" if figure else "")
  return {"title": one.title, "uri": uri, "legend": legend, "figure": figure, "alt": alt}


def _content(one):
  return one.groups if isinstance(one, GroupMap) else one.values


def _round_length(um: float) -> int:
  """The largest of 1, 2, 5 times a power of ten that is not longer."""
  power = 10 ** int(np.floor(np.log10(max(um, 1.0))))
  return max(step * power for step in (1, 2, 5) if step * power <= max(um, 1.0))


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
    "uri": pictures.jpeg(one.patch, quality=88),
    "section_id": one.section_id,
    "rank": one.rank,
    "gallery": one.gallery,
    "keywords": one.keywords[:_KEYWORDS_SHOWN],
    "hits": [
      {
        "uri": pictures.jpeg(hit.patch, quality=88),
        "section_id": hit.section_id,
        "where": _where(hit, one.section_id),
        "cosine": hit.cosine,
        "keywords": hit.keywords[:_KEYWORDS_SHOWN],
        "is_query": hit.is_query,
      }
      for hit in one.hits
    ],
  }


def _where(hit: Hit, section_id: str) -> str:
  if hit.is_query:
    return "its own"
  if hit.section_id == section_id and hit.distance_um is not None:
    return f"{hit.distance_um / 1000:.1f} mm away"
  return hit.section_id
