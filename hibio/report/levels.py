"""What the three levels of the model have learned, to be shown: maps, charts and tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from data_pipelines.console import counted
from hibio.evaluation import anchors, keywords, zero_shot
from hibio.evaluation.anchors import ANCHORS, NEEDS, RANDOM, AnchorScores
from hibio.evaluation.keyword_lists import SectionLists
from hibio.evaluation.methods import MODEL
from hibio.evaluation.regions import sizes
from hibio.evaluation.rows import mean_defined
from hibio.evaluation.setting import Setting
from hibio.report import canvas
from hibio.report.exhibits import Chart, GroupMap, Listing, MapRow, ValueMap
from hibio.report.shown_sections import ShownSections
from hibio.report.tables import number
from hibio.report.value_maps import in_words, set_in_words
from hibio.report.vocabulary import feature_in_words
from hibio.training import metrics

TOP = 10
"""Genes of each method that are drawn."""

MAPPED, LISTED = 2, 15
"""Gene sets that are drawn over the tissue, and that get a line of their own."""

Shown = MapRow | Chart | Listing

_FROM = {"image": "H&E", "gene": "counts"}


def keyword_exhibits(setting: Setting, shown: ShownSections) -> Iterator[Shown]:
  """Two keyword and two housekeeping genes over the tissue; which genes each method picks."""
  found, genes = keywords.lists(setting), _told_apart(setting, shown)
  others = "the housekeeping genes that are most often among the most expressed genes of its spots"
  if not any(kind == "housekeeping" for _, kind in genes):
    others = "no housekeeping gene: none is among the most expressed genes of its spots"
  yield MapRow(
    "keywords",
    "Keyword genes and housekeeping genes",
    f"The two keyword genes that hold the most weight in the first section, and {others}.",
    [_gene_map(setting, shown, found, gene, kind) for gene, kind in genes],
  )
  for section in shown.ids:
    yield Chart(
      "keywords",
      f"Genes that each method picks in {section}",
      f"The first {TOP} genes of each method. A dot is larger the more spots have the gene among"
      " their keywords; lists of a whole section are the same in all spots. Housekeeping genes:"
      f" {setting.housekeeping.source}.",
      canvas.drawn(gene_lists_chart(setting, found[section])),
    )


def _told_apart(setting: Setting, shown: ShownSections) -> list[tuple[int, str]]:
  first, housekeeping = keywords.lists(setting)[shown.ids[0]], setting.housekeeping.genes
  weight = np.where(housekeeping, 0.0, first.of[MODEL].weights)
  expressed = np.where(housekeeping, first.of["raw"].shares, 0.0)
  return [
    (int(gene), kind)
    for kind, score in (("keyword", weight), ("housekeeping", expressed))
    for gene in np.argsort(-score, kind="stable")[:2]
    if score[gene] > 0
  ]


def _gene_map(
  setting: Setting, shown: ShownSections, found: dict[str, SectionLists], gene: int, kind: str
) -> ValueMap:
  cohort = shown.of(setting.cohort)
  values = shown.values(cohort, cohort.log_expression(np.array([gene]))[:, 0])
  figures = {section: f"Moran's I {found[section].morans_i[gene]:.2f}" for section in values}
  return ValueMap(f"{setting.corpus.panel.symbols[gene]} ({kind})", "log1p(CP10k)", values, figures)


def gene_lists_chart(setting: Setting, found: SectionLists) -> Figure:
  """A line a gene, a column a method; colour is the gene's Moran's I, the same in every column."""
  genes = list(dict.fromkeys(int(gene) for one in found.of.values() for gene in one.genes[:TOP]))
  figure, axis = plt.subplots(
    figsize=(2.4 + 0.55 * len(found.of), 1.9 + 0.19 * len(genes)), layout="constrained"
  )
  points = [
    (x, y, 1.0 if one.shares is None else one.shares[gene], np.nan_to_num(found.morans_i[gene]))
    for x, one in enumerate(found.of.values())
    for y, gene in enumerate(genes)
    if gene in one.genes
  ]
  xs, ys, shares, colours = map(np.array, zip(*points, strict=True))
  dots = axis.scatter(xs, ys, s=_area(shares), c=colours, cmap=canvas.VALUES, vmin=0.0)
  bar = figure.colorbar(dots, ax=axis, shrink=0.4)
  bar.set_label("Moran's I of the gene", fontsize=8)
  bar.ax.tick_params(labelsize=7)
  for share in (0.1, 0.5, 1.0):
    axis.scatter([], [], s=_area(share), color="0.4", label=f"{share:.0%} of spots")
  figure.legend(loc="outside lower right", fontsize=7, frameon=False, ncols=3)
  common = setting.housekeeping.genes
  names = [setting.corpus.panel.symbols[g] + (" (h)" if common[g] else "") for g in genes]
  axis.set_xticks(range(len(found.of)), found.of, rotation=50, ha="right", fontsize=8)
  axis.set_yticks(range(len(genes)), names, fontsize=7)
  for label, gene in zip(axis.get_yticklabels(), genes, strict=True):
    label.set_color(canvas.OKABE_ITO[5] if common[gene] else "0.15")
  axis.set(xlim=(-0.5, len(found.of) - 0.5), ylim=(len(genes) - 0.5, -0.5))
  axis.set_ylabel("gene; (h): housekeeping", fontsize=8)
  axis.grid(alpha=0.2)
  axis.set_axisbelow(True)
  return figure


def _area(share):
  """Of a dot, in square points."""
  return 8 + 60 * share


def anchor_exhibits(setting: Setting, shown: ShownSections) -> Iterator[Shown]:
  """The gene sets whose activity is most spatial: over the tissue, then one by one."""
  for sets in anchors.asked_sets(setting):
    found = anchors.scores(setting, setting.method(MODEL), sets)
    order = most_spatial(found)
    if not order:
      continue
    yield MapRow(
      "anchors",
      f"The most spatial sets: {sets.title}",
      "Activity in the counts beside the similarity of the spot to the set's anchor, from the H&E"
      " and from the counts. Chosen by the activity's Moran's I alone.",
      [one for place in order[:MAPPED] for one in _anchor_maps(setting, shown, found, place)],
    )
    yield _one_by_one(found, order[:LISTED])


def most_spatial(found: AnchorScores) -> list[int]:
  """Sets by the Moran's I of their activity, highest first; those without one are left out."""
  order = np.argsort(-np.nan_to_num(found.spatial, nan=-np.inf), kind="stable")
  return order[np.isfinite(found.spatial[order])].tolist()


def _anchor_maps(
  setting: Setting, shown: ShownSections, found: AnchorScores, place: int
) -> Iterator[ValueMap]:
  sets, cohort = found.sets, shown.of(setting.scored)
  name = set_in_words(sets.names[place])
  activity = anchors.activity(setting, cohort, sets.membership[[place]])
  yield ValueMap(f"{name}, in the counts", "activity", shown.values(cohort, activity[:, 0]))
  anchor = anchors.anchors_of(setting.method(MODEL), sets)[[place]]
  for modality in found.seen_from:
    has = cohort.spots[NEEDS[modality]].to_numpy()
    seen, active = cohort.subset(has), activity[has]
    score = zero_shot.similarity(seen.features[f"{MODEL}/{modality}"], anchor)
    figures = {
      section: in_words(anchors.correlations(active[rows], score[rows])[0])
      for section, rows in seen.sections()
    }
    title = f"{name}, anchor from the {_FROM[modality]}"
    yield ValueMap(title, "cosine", shown.values(seen, score[:, 0]), figures)


def _one_by_one(found: AnchorScores, places: Sequence[int]) -> Listing:
  """How well each of these sets is followed, beside the mean of random sets."""
  columns = [
    (f"{name}, {_FROM[modality]}", getattr(kinds[ANCHORS], field), getattr(kinds[RANDOM], field))
    for name, field in (("r", "correlation"), ("AUROC", "auroc"))
    for modality, kinds in found.seen_from.items()
  ]
  lines = [
    [
      found.sets.names[place],
      number(float(found.spatial[place])),
      *(number(float(own[0, place])) for _, own, _ in columns),
    ]
    for place in places
  ]
  random = (number(mean_defined(values.ravel())) for _, _, values in columns)
  return Listing(
    "anchors",
    f"The {len(lines)} most spatial sets: {found.sets.title}",
    ("gene set", "Moran's I of activity", *(name for name, _, _ in columns)),
    (*map(tuple, lines), ("random sets, mean", "", *random)),
  )


def region_exhibits(setting: Setting, shown: ShownSections) -> Iterator[Shown]:
  """The model's regions beside those of coordinates, how large they are, and how they moved."""
  trees = {method.name: setting.tree_of(method) for method in setting.methods}
  drawn = [trees[name] for name in (MODEL, "coordinates") if trees.get(name)]
  yield MapRow(
    "regions",
    "Nested regions",
    "Contiguous regions drawn by the model's embedding, as in pretraining, beside those that places"
    " alone give; a coarse region is made of fine ones. Colours only tell neighbours apart.",
    [one for feature in drawn for one in _region_maps(setting, shown, feature)],
  )
  features = [feature for feature in trees.values() if feature]
  yield Chart(
    "regions",
    "Sizes of regions",
    "Each curve is the share of regions that have at most so many spots.",
    canvas.drawn(region_sizes_chart(setting, features)),
  )
  if moved := [line for line in metrics.read(setting.model.workdir) if _of_regions(line)]:
    yield _refreshes(moved)


def _region_maps(setting: Setting, shown: ShownSections, feature: str) -> Iterator[GroupMap]:
  regions = setting.regions(feature)[:, setting.is_scored]
  for level, ids in enumerate(regions, 1):
    sections = setting.scored.sections()
    counts = {name: counted(len(set(ids[rows])), "regions") for name, rows in sections}
    laid_out = shown.groups(setting.scored, ids.astype(str))
    yield GroupMap(f"{feature_in_words(feature)}, level {level}", laid_out, counts)


def region_sizes_chart(setting: Setting, features: Sequence[str]) -> Figure:
  """Share of regions of at most so many spots, a panel a level."""
  sides = setting.corpus.region_um
  figure, axes = plt.subplots(
    1, len(sides), figsize=(4.0 * len(sides), 3.4), squeeze=False, layout="constrained"
  )
  styles = ("-", "--", "-.", ":")
  for level, (axis, side) in enumerate(zip(axes[0], sides, strict=True)):
    for place, feature in enumerate(features):
      spots = sizes(setting.regions(feature)[level, setting.is_scored])
      axis.ecdf(
        spots, label=feature_in_words(feature), color=canvas.OKABE_ITO[place % 8],
        linestyle=styles[place % 4],
      )  # fmt: skip
    axis.set_title(f"level {level + 1}, aims for a side of {side:g} µm", fontsize=10)
    axis.set(xlabel="spots of a region", ylabel="share of regions up to this size")
  figure.legend(
    *axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8,
    frameon=False,
  )  # fmt: skip
  return figure


def _of_regions(line: dict) -> bool:
  return any(name.startswith("regions/") for name in line)


def _refreshes(lines: Sequence[dict]) -> Listing:
  names = [name for name in lines[0] if name.startswith("regions/")]
  return Listing(
    "regions",
    "How regions moved when they were re-clustered during training",
    ("step", *(name.removeprefix("regions/").replace("_", " ") for name in names)),
    tuple((str(line["step"]), *(_cell(line.get(name)) for name in names)) for line in lines),
    "Agreement: adjusted Rand index of new regions and those before; 1 is unchanged, 0 chance.",
  )


def _cell(value: float | int | None) -> str:
  return str(value) if isinstance(value, int) else number(value)
