"""The genes that each score picks in a section, as a table of dots; and four of them on tissue."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from experiments.explainers.keywords import HVG, SVG, SectionLists
from experiments.explainers.subject import Subject
from experiments.figures import maps
from hibio.keywords import called

TOP = 10
"""Genes of each method that are drawn."""

_HOUSEKEEPING, _OTHER = "C3", "0.15"


def draw_lists(subject: Subject, section: str, found: SectionLists, path: Path) -> Path:
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


def draw_maps(subject: Subject, found: dict[str, SectionLists], path: Path) -> Path:
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
  return maps.draw_values(subject.corpus, columns, subject.drawn, path)


def _size(found: SectionLists, method: str, gene: int) -> float:
  """Lists of a section are the same in all of its spots."""
  share = 1.0 if method in (HVG, SVG) else float(found.shares[method][gene])
  return 8 + 60 * share
