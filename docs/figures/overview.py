"""The figure of the README: the model, and its maps on a section of a donor held out of training.

  make demo && python docs/figures/overview.py

Reads `runs/hibio` and section D4S1 of the synthetic tissue, writes `docs/figures/overview.png`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import patches as shapes
from matplotlib.collections import EllipseCollection
from PIL import Image

import hibio

IMAGE, GENE, ANCHOR, REGION = "#c0397a", "#14808a", "#d98a00", "#5b5fc7"
INK, FAINT = "#22252b", "#8a8f98"
PATHWAY, PREDICTED = "EPITHELIUM", "PROLIFERATION5"
OUTPUT = Path(__file__).with_name("overview.png")


def main(checkpoint: str = "runs/hibio", raw: str = "runs/synthetic-medium/raw/D4S1") -> None:
  plt.rcParams.update({"font.family": "DejaVu Sans", "text.color": INK, "font.size": 9})
  adata = hibio.read(raw)
  model = hibio.load(checkpoint)
  model.embed(adata)
  predicted = model.predict_expression(adata, genes=[PREDICTED])
  section = Section(adata, predicted)
  figure = plt.figure(figsize=(12, 6.9), dpi=150)
  draw_model(figure.add_axes((0.0, 0.3986, 1.0, 0.6014)), section)
  draw_maps(figure, section)
  figure.savefig(OUTPUT, facecolor="white")
  picture = Image.open(OUTPUT).convert("RGB")
  picture.quantize(255, Image.Quantize.MEDIANCUT).save(OUTPUT, optimize=True)  # a third of the size


class Section:
  """What is drawn of a section: positions in pixels of its picture, and values of each spot."""

  def __init__(self, adata, predicted):
    (library,) = adata.uns["spatial"].values()
    self.picture = library["images"]["hires"]
    scale = library["scalefactors"]["tissue_hires_scalef"]
    self.positions = adata.obsm["spatial"] * scale
    self.pitch = 100 / library["scalefactors"]["microns_per_pixel"] * scale
    self.domains = adata.obs["hibio_domain_2"].to_numpy()
    self.pathway = np.asarray(adata.obsm["hibio_pathways"][PATHWAY])
    self.predicted = np.asarray(predicted.X).ravel()
    counts = np.asarray(adata[:, PREDICTED].X.todense()).ravel()
    depth = np.asarray(adata.X.sum(1)).ravel()
    self.measured = np.log1p(1e4 * counts / depth)


def draw_model(axes, section: Section) -> None:
  axes.axis("off")
  rows = ((33.5, IMAGE), (20.5, GENE), (7.0, ANCHOR))
  _patch(axes, section, rows[0][0])
  _profile(axes, rows[1][0])
  _gene_sets(axes, rows[2][0])
  texts = (
    ("image tower", "convolutions, vision transformer"),
    ("gene tower", "keyword genes as a set, whole profile"),
    ("pathway anchors", "member genes, learned offset"),
  )
  for (y, colour), (title, text) in zip(rows, texts, strict=True):
    _arrow(axes, (19.5, y), (24, y), colour)
    _box(axes, (24, y - 3.6), (24, 7.2), colour, title, text)
  _box(axes, (53, 16.5), (11, 21), FAINT, "spatial\nneighbours", "attention")
  for y, colour in rows[:2]:
    _arrow(axes, (48, y), (53, y), colour)
    _arrow(axes, (64, y), (69.5, 22 + 0.6 * (y - 22)), colour)
  _arrow(axes, (48, 7), (71.5, 12.6), ANCHOR)
  _shared_space(axes, (81, 21))
  _levels(axes, 98.5)
  axes.set(xlim=(0, 120), ylim=(0, 41.5), aspect="equal")


def _box(axes, corner, size, colour, title, text) -> None:
  axes.add_patch(
    shapes.FancyBboxPatch(
      corner, *size, boxstyle="round,pad=0,rounding_size=1.2", fc=_tint(colour), ec=colour, lw=1.2
    )
  )
  x, y = corner[0] + size[0] / 2, corner[1] + size[1] / 2
  axes.text(x, y + (1.1 if text else 0), title, ha="center", va="center", weight="bold", size=9.5)
  axes.text(x, y - 1.6, text, ha="center", va="center", size=7.2, color=FAINT)


def _arrow(axes, start, end, colour) -> None:
  axes.annotate(
    "", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.6, "shrinkA": 1.5,
                                "shrinkB": 1.5, "mutation_scale": 11}
  )  # fmt: skip


def _patch(axes, section: Section, y: float) -> None:
  """The surroundings of the spot where the pathway is strongest, its own patch framed."""
  x0, y0 = section.positions[np.argmax(section.pathway)]
  half = 1.7 * section.pitch * np.array((6.9, 5.2)) / 5.2
  (left, top), (right, bottom) = (np.array((x0, y0)) + sign * half for sign in (-1, 1))
  view = section.picture[int(top) : int(bottom), int(left) : int(right)]
  axes.imshow(view, extent=(4.6, 18.4, y - 5.2, y + 5.2), interpolation="bicubic")
  own = 0.56 * 5.2 / 1.7  # half a patch of 112 um, where spots are 100 um apart
  for colour, width in (("white", 4), (IMAGE, 2)):
    corner = (11.5 - own, y - own)
    axes.add_patch(shapes.Rectangle(corner, 2 * own, 2 * own, fill=False, ec=colour, lw=width))
  axes.text(11.5, y + 6, "H&E", ha="center", weight="bold", size=9.5)


def _profile(axes, y: float) -> None:
  """Keyword genes count, housekeeping genes do not."""
  genes = (("KRT19", 9.5, True), ("EPCAM", 7.6, True), ("ERBB2", 6.1, True),
           ("ACTB", 8.6, False), ("MT-CO1", 10.2, False))  # fmt: skip
  for number, (name, length, keyword) in enumerate(genes):
    at = y + 3.4 - 1.9 * number
    axes.text(8.4, at, name, ha="right", va="center", size=6.8, color=INK if keyword else FAINT)
    axes.barh(at, length * 0.92, left=9, height=1.25, color=GENE if keyword else "#dcdfe4")
  axes.text(11.5, y + 5.2, "gene counts", ha="center", weight="bold", size=9.5)


def _gene_sets(axes, y: float) -> None:
  for row, members in enumerate(((0, 3, 4, 7), (1, 3, 5), (2, 4, 6, 8), (0, 5, 8))):
    for gene in range(9):
      corner = (4.7 + 1.53 * gene, y + 1.9 - 1.9 * row)
      colour = ANCHOR if gene in members else "#eceef1"
      axes.add_patch(shapes.Rectangle(corner, 1.3, 1.55, fc=colour, ec="none"))
  axes.text(11.5, y + 4.6, "gene sets", ha="center", weight="bold", size=9.5)


def _shared_space(axes, centre) -> None:
  """Pairs of an image and its profile, anchors they are drawn to, and one region."""
  x, y = centre
  axes.add_patch(shapes.Circle(centre, 13.2, fc="#f7f8fa", ec="#c9ccd3", lw=1.2))
  axes.text(x, y + 16.3, "one shared space", ha="center", weight="bold", size=9.5)
  axes.add_patch(shapes.Ellipse((x - 4.2, y + 3.6), 13.4, 12, angle=28, fc=_tint(REGION), ec=REGION,
                                lw=1.2, ls=(0, (4, 2))))  # fmt: skip
  pairs = np.array([(-8.2, 3), (-5.2, 6.9), (-4.6, 1.2), (-0.8, 5.2), (5.6, 7.6), (8.6, 2.2),
                    (-7.4, -6), (-1.2, -8.4), (5, -4.4), (9.2, -5.6)])  # fmt: skip
  for (dx, dy), turn in zip(pairs, range(len(pairs)), strict=True):
    step = 0.95 * np.array([np.cos(2.1 * turn), np.sin(2.1 * turn)])
    ends = np.array([x + dx, y + dy]) + np.array([step, -step])
    axes.plot(*ends.T, color="#b7bbc4", lw=1.2, zorder=2)
    axes.scatter(*ends.T, s=30, c=[IMAGE, GENE], zorder=3, edgecolors="white", linewidths=0.6)
  for dx, dy in ((-5.2, 4), (7, 4.8), (2.4, -6.6)):
    axes.scatter(x + dx, y + dy, s=85, marker="D", c=ANCHOR, zorder=4, edgecolors="white")


def _levels(axes, left: float) -> None:
  for y, colour, title, text in (
    (33.5, INK, "spots", "an image finds its profile,\nand a profile its image"),
    (21, ANCHOR, "pathways", "both modalities are read\nagainst the same anchors"),
    (8.5, REGION, "regions", "contiguous and nested,\nthey align as wholes"),
  ):
    axes.text(left + 4, y + 2.2, title, weight="bold", size=11, color=colour, va="center")
    axes.text(left + 4, y - 1.9, text, size=8.2, va="center", linespacing=1.45)
  axes.plot((left, left + 1.9), (36.4, 35), color="#b7bbc4", lw=1.4, zorder=1)
  axes.scatter((left, left + 1.9), (36.4, 35), s=42, c=[IMAGE, GENE])
  axes.scatter(left + 0.9, 23.2, s=85, marker="D", c=ANCHOR)
  axes.add_patch(
    shapes.Ellipse(
      (left + 0.9, 10.7), 3.4, 2.9, fc=_tint(REGION), ec=REGION, lw=1.2, ls=(0, (3, 2))
    )
  )


def draw_maps(figure, section: Section) -> None:
  r = np.corrcoef(section.predicted, section.measured)[0, 1]
  maps = (
    ("H&E of a held-out donor", None, None),
    ("domains", section.domains, "domains"),
    (f"pathway: {PATHWAY.lower()}", section.pathway, "viridis"),
    ("a gene, predicted from H&E", section.predicted, "RdPu"),
    (f"the gene as measured, r {r:.2f}", section.measured, "RdPu"),
  )
  for number, (title, values, colours) in enumerate(maps):
    axes = figure.add_axes((0.008 + 0.1985 * number, 0.01, 0.19, 0.37))
    _map(axes, section, values, colours)
    axes.set_title(title, size=9.2, weight="bold", pad=5)


def _map(axes, section: Section, values, colours) -> None:
  low, high = (np.quantile(section.positions, q, axis=0) for q in (0, 1))
  around = 1.4 * section.pitch
  if values is None:
    axes.imshow(section.picture, interpolation="antialiased")
  axes.set(
    xlim=(low[0] - around, high[0] + around), ylim=(high[1] + around, low[1] - around), aspect=1
  )
  axes.axis("off")
  if values is None:
    return
  size = np.full(len(section.positions), 0.97 * section.pitch)
  spots = EllipseCollection(size, size, 0 * size, units="xy", offsets=section.positions,
                            offset_transform=axes.transData, linewidths=0)  # fmt: skip
  if colours == "domains":
    _, number = np.unique(values, return_inverse=True)
    spots.set_facecolor(plt.get_cmap("tab20")((number * 7 % 20) / 19.5))
  else:
    spots.set_array(values)
    spots.set_cmap(colours)
    low, high = np.quantile(values, (0.02, 0.98))
    spots.set_clim(low - (0.12 * (high - low) if colours == "RdPu" else 0), high)
  axes.add_collection(spots)


def _tint(colour: str, share: float = 0.12):
  rgb = np.array(plt.matplotlib.colors.to_rgb(colour))
  return tuple(1 - share * (1 - rgb))


if __name__ == "__main__":
  main(*sys.argv[1:])
