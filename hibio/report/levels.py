"""What was explained, as one Markdown page: a table a protocol, methods side by side, figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from hibio.evaluation import regions
from hibio.evaluation.anchors import ANCHORS, MODALITIES, RANDOM, AnchorScores
from hibio.evaluation.keywords import HVG, SVG, SectionLists
from hibio.evaluation.rows import Row
from hibio.evaluation.subject import Subject
from hibio.keywords import called
from hibio.report import section_figures
from hibio.report.tables import number

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


TOP = 10
"""Genes of each method that are drawn."""

_HOUSEKEEPING, _OTHER = "C3", "0.15"


def draw_keyword_lists(subject: Subject, section: str, found: SectionLists, path: Path) -> Path:
  """Rows: the first genes of each method. Columns: methods. Dot: picked, larger in more spots.

  The colour is the gene's Moran's I, the same in every column; names of housekeeping genes are red.
  """
  methods = list(found.lists)
  genes = list(dict.fromkeys(int(g) for m in methods for g in found.lists[m][:TOP]))
  spatial = np.nan_to_num(found.morans_i)
  figure, axis = plt.subplots(
    figsize=(1.6 + 0.75 * len(methods), 1.6 + 0.19 * len(genes)), constrained_layout=True
  )
  points = [
    (x, y, _size(found, method, gene), spatial[gene])
    for x, method in enumerate(methods)
    for y, gene in enumerate(genes)
    if gene in found.lists[method]
  ]
  xs, ys, sizes, colours = zip(*points, strict=True)
  dots = axis.scatter(xs, ys, s=sizes, c=colours, cmap="viridis", vmin=0.0)
  figure.colorbar(dots, ax=axis, label="Moran's I of the gene", shrink=0.4)
  axis.set_xticks(range(len(methods)), methods, rotation=60, ha="right", fontsize=8)
  axis.set_yticks(range(len(genes)), [subject.corpus.panel.symbols[g] for g in genes], fontsize=7)
  for label, gene in zip(axis.get_yticklabels(), genes, strict=True):
    label.set_color(_HOUSEKEEPING if subject.housekeeping.genes[gene] else _OTHER)
  axis.set(xlim=(-0.5, len(methods) - 0.5), ylim=(len(genes) - 0.5, -0.5))
  axis.grid(alpha=0.2)
  axis.set_axisbelow(True)
  axis.set_title(f"{section}: genes picked (red: housekeeping)", fontsize=9)
  figure.savefig(path, dpi=130)
  plt.close(figure)
  return path


def draw_keyword_maps(subject: Subject, found: dict[str, SectionLists], path: Path) -> Path:
  """Two keyword genes and two housekeeping genes of the first section, on every drawn section.

  The keyword genes that hold the most weight, the housekeeping genes that most spots express most.
  """
  first = found[subject.drawn[0]]
  own = subject.model.model.config.keywords
  weight = first.weights[called(own.score, own.spatial_power)]
  listed = [gene for gene in np.argsort(-weight, kind="stable") if weight[gene] > 0]
  housekeeping = subject.housekeeping.genes
  expression = np.where(housekeeping, first.shares["raw"], 0.0)
  ubiquitous = np.argsort(-expression, kind="stable")[:2]
  columns = {}
  for kind, genes in (
    ("keyword", [g for g in listed if not housekeeping[g]][:2]),
    ("housekeeping", [g for g in ubiquitous if expression[g] > 0]),
  ):
    for gene in genes:
      name = subject.corpus.panel.symbols[gene]
      told = f"{name} ({kind}), Moran's I {first.morans_i[gene]:.2f}"
      columns[told] = subject.counted.log_expression(np.array([gene]))[:, 0]
  return section_figures.draw_values(subject.corpus, columns, subject.drawn, path)


def _size(found: SectionLists, method: str, gene: int) -> float:
  """Lists of a section are the same in all of its spots."""
  share = 1.0 if method in (HVG, SVG) else float(found.shares[method][gene])
  return 8 + 60 * share


SHOWN = 2


def most_spatial(found: AnchorScores, count: int) -> np.ndarray:
  """The sets whose activity has the highest Moran's I, best first."""
  order = np.argsort(-np.nan_to_num(found.spatial, nan=-np.inf), kind="stable")
  return order[np.isfinite(found.spatial[order])][:count]


def draw_anchors(subject: Subject, found: AnchorScores, path: Path) -> Path | None:
  """Activity and anchor similarity from either side; None where no set can be measured."""
  columns: dict[str, np.ndarray] = {}
  index = subject.held_out.spots["spot_index"].to_numpy()
  for place in most_spatial(found, SHOWN):
    name = found.sets.names[place].replace("_", " ").title()[:34]
    spots = len(subject.corpus.spots)
    shown = {
      f"{name}\nactivity in the counts (Moran's I {found.spatial[place]:.2f})": np.full(
        spots, np.nan
      )
    }
    for modality in MODALITIES:
      told = "H&E" if modality == "image" else "counts"
      shown[f"{name}\nanchor, from the {told}"] = np.full(spots, np.nan)
    measured, *seen = shown.values()
    for section, rows in subject.held_out.sections():
      measured[index[rows]] = found.activity[section][:, place]
      for modality, values in zip(MODALITIES, seen, strict=True):
        if (section, modality) in found.score:
          values[index[rows]] = found.score[section, modality][:, place]
    columns |= shown
  return (
    section_figures.draw_values(subject.corpus, columns, subject.drawn, path) if columns else None
  )


def draw_region_maps(subject: Subject, found: regions.Regions, path: Path) -> Path:
  """One row a section: every level of the model's regions, then of the coordinates'."""
  index = subject.held_out.spots["spot_index"].to_numpy()
  columns = {}
  for method in (regions.MODEL, regions.COORDINATES):
    for level, ids in enumerate(found.of[method], 1):
      everywhere = np.full(len(subject.corpus.spots), -1)
      everywhere[index] = ids
      columns[f"{method}, level {level}"] = everywhere
  return section_figures.draw_groups(subject.corpus, columns, subject.drawn, path)


def draw_region_sizes(found: regions.Regions, path: Path) -> Path:
  """Spots of a region, smallest to largest, one panel a level."""
  levels = len(found.of[regions.MODEL])
  figure, axes = plt.subplots(
    1, levels, figsize=(4.2 * levels, 3.0), squeeze=False, constrained_layout=True
  )
  for level, axis in enumerate(axes[0]):
    for method, spots in regions.sizes_of_each(found, level).items():
      shares = np.linspace(0, 1, len(spots))
      axis.plot(np.sort(spots), shares, label=method, drawstyle="steps-post")
    axis.set_xlabel("spots of a region")
    axis.set_ylabel("share of regions")
    axis.set_title(f"level {level + 1}", fontsize=10)
  axes[0][0].legend(fontsize=7, frameon=False)
  figure.savefig(path, dpi=130)
  plt.close(figure)
  return path
