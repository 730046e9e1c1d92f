"""What was explained, as one Markdown page: a table a protocol, methods side by side, figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from experiments.explainers.anchor_figures import most_spatial
from experiments.explainers.anchors import ANCHORS, MODALITIES, RANDOM, AnchorScores
from experiments.report.tables import number
from hibio.tasks.rows import Row

LISTED = 15
"""Gene sets that get a line of their own."""


def tables(rows: Iterable[Row]) -> Iterator[str]:
  """A line a method and a column a metric, for each protocol; the last line is chance."""
  protocols: dict[str, list[Row]] = {}
  for row in rows:
    protocols.setdefault(row.protocol, []).append(row)
  for protocol, of in protocols.items():
    metrics = list(dict.fromkeys(row.metric for row in of))
    cells = {(row.method, row.metric): _cell(row) for row in of}
    yield f"### {protocol} ({of[0].split})\n"
    yield from _table(
      ["", *metrics],
      [
        [method, *(cells.get((method, metric), "-") for metric in metrics)]
        for method in dict.fromkeys(row.method for row in of)
      ],
      _chance(of, metrics),
    )


def most_spatial_sets(found: AnchorScores) -> Iterator[str]:
  """The gene sets whose activity is most spatial, one by one, beside the mean of random sets."""
  names = [f"{metric}, {seen}" for metric in ("r", "AUROC") for seen in ("H&E", "counts")]
  keys = [
    (values, modality) for values in (found.correlation, found.auroc) for modality in MODALITIES
  ]
  lines = []
  for place in most_spatial(found, LISTED):
    values = [_of_set(of, ANCHORS, modality, place) for of, modality in keys]
    name = found.sets.names[place].replace("|", "\\|")
    lines.append([name, _short(float(found.spatial[place])), *map(_short, values)])
  random = [_mean(of.get((RANDOM, modality))) for of, modality in keys]
  yield f"### The {len(lines)} most spatial: {found.sets.title}\n"
  yield from _table(
    ["gene set", "Moran's I of activity", *names],
    lines,
    ["*random sets, mean*", "-", *map(_short, random)],
  )


def refreshed(lines: Sequence[Mapping[str, float]]) -> Iterator[str]:
  """How regions moved while training; ARI 1 = as before, 0 = as by chance."""
  if not lines:
    return
  names = [name for name in lines[0] if name != "step"]
  yield "### How regions moved between refreshes\n"
  yield "Adjusted Rand index of new regions with those before (chance 0), number and median size.\n"
  yield from _table(
    ["step", *(name.removeprefix("regions/") for name in names)],
    [[str(line["step"]), *(_short(line.get(name)) for name in names)] for line in lines],
    None,
  )


def _table(
  header: Sequence[str], lines: Sequence[Sequence[str]], last: Sequence[str] | None
) -> Iterator[str]:
  yield "| " + " | ".join(header) + " |"
  yield "| --- |" + " ---: |" * (len(header) - 1)
  for line in [*lines, *([last] if last else [])]:
    yield "| " + " | ".join(line) + " |"
  yield ""


def _chance(rows: Sequence[Row], metrics: Sequence[str]) -> list[str] | None:
  """Chance of each metric, as its methods have it on average; None where none has one."""
  found = {
    metric: [row.chance for row in rows if row.metric == metric and row.chance is not None]
    for metric in metrics
  }
  if not any(found.values()):
    return None
  return ["*chance*", *(_short(float(np.mean(v))) if v else "-" for v in found.values())]


def _cell(row: Row) -> str:
  if row.value is None:
    return "-"
  return number(row.value) + (f" ± {number(row.spread)}" if row.spread and row.n > 1 else "")


def _short(value: float | None) -> str:
  return "-" if value is None or not np.isfinite(value) else number(value)


def _of_set(values: Mapping, method: str, modality: str, place: int) -> float | None:
  draws = values.get((method, modality))
  return None if draws is None else float(draws[0, place])


def _mean(draws: np.ndarray | None) -> float | None:
  return None if draws is None or not np.isfinite(draws).any() else float(np.nanmean(draws))
