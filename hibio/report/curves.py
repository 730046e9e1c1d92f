"""Training curves: each objective beside its chance, over the stages; alarms are red."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hibio.report import canvas, section_figures
from hibio.training import alarms, metrics

ALARM = "C3"

Lines = Sequence[Mapping[str, Any]]
"""The lines of `metrics.jsonl`."""


@dataclasses.dataclass(frozen=True)
class Panel:
  """Curves on one pair of axes.

  Attributes:
    unit: what the y axis says.
    curves: metric -> its name in the legend; "held_out/METRIC" is drawn with it.
  """

  title: str
  unit: str
  curves: Mapping[str, str]


def _losses(title: str, unit: str, *names: str) -> Panel:
  return Panel(title, unit, {f"loss/{name}": name.replace("_", " ") for name in names})


_PANELS = (
  _losses("spot contrast", "loss (nats)", "spot"),
  _losses("pathway anchors", "loss (nats)", "pathway", "prototype"),
  _losses("region contrast", "loss (nats)", "region", "spot_to_region"),
  _losses("regularisers", "penalty", "hierarchy", "smoothness", "separation"),
  _losses(
    "reconstruction of genes",
    "squared error (variance of a gene = 1)",
    "reconstruction",
    "gene_reconstruction",
  ),
)
_RANKS = Panel(
  "effective rank of the embeddings",
  "dimensions in use",
  {"monitor/effective_rank_image": "image", "monitor/effective_rank_gene": "gene"},
)

_WITHOUT_IMAGES = ("loss/gene_reconstruction", "loss/separation", "monitor/effective_rank_gene")
"""What is the same figure where there are no images."""

_STYLES = {
  "training": {"linestyle": "-", "linewidth": 1.3},
  "its chance": {"linestyle": "--", "linewidth": 1.0},
  "held-out donors": {"linestyle": "-", "linewidth": 0.7, "marker": "o", "markersize": 4},
  "their chance": {"linestyle": ":", "linewidth": 1.0, "marker": "_", "markersize": 9},
}
"""What is drawn of a curve, in its colour: each beside its own chance, as batches differ."""

_SHADES = (0.0, 0.1, 0.2)
"""Opacity of the ground of the stages, in turn."""


def draw(workdir: Path) -> Path:
  """Draws `figures/training.png` of a work directory from its `metrics.jsonl`."""
  drawn = training_figure(metrics.read(workdir))
  return section_figures.saved(drawn, workdir / "figures" / "training.png")


def training_figure(lines: Lines) -> Figure:
  """The panels of everything that was logged; the caller saves and closes the figure."""
  panels = list(_logged(lines)) or [Panel("nothing was logged", "", {})]
  columns = min(len(panels), 3)
  rows = -(-len(panels) // columns)
  drawn, axes = plt.subplots(
    rows, columns, figsize=(4.4 * columns, 3.2 * rows + 0.6), squeeze=False,
    constrained_layout=True,
  )  # fmt: skip
  for axis in axes.flat[len(panels) :]:
    axis.remove()
  stages = _stages(lines)
  for axis, panel in zip(axes.flat, panels, strict=False):
    _draw_panel(axis, panel, lines)
    _shade(axis, stages)
    _mark_alarms(axis, lines)
  drawn.legend(
    handles=_key(stages, lines), loc="outside lower center", ncols=min(2 * columns, 4), fontsize=8,
    frameon=False,
  )  # fmt: skip
  if begun := alarms.first_steps(lines):
    said = ", ".join(f"{name} (step {step})" for name, step in begun.items())
    drawn.suptitle(f"alarms: {said}", color=ALARM, fontsize=9)
  elif _held_out_without_images(lines):
    drawn.suptitle(UNPAIRED, fontsize=9)
  return drawn


def _logged(lines: Lines) -> Iterator[Panel]:
  """Panels and curves that have values; one more for objectives that no panel names."""
  found = {name for line in lines for name, value in line.items() if value is not None}
  named = {name for panel in _PANELS for name in panel.curves}
  others = sorted(name for name in found - named if name.startswith("loss/"))
  names = [name.removeprefix("loss/") for name in others]
  other = _losses(", ".join(names).replace("_", " "), "loss", *names)
  for panel in (*_PANELS, other, _RANKS):
    curves = {name: told for name, told in panel.curves.items() if name in found}
    if any(line.get(name) for name in curves for line in lines):  # what is off logs zeros
      yield dataclasses.replace(panel, curves=curves)


def _draw_panel(axis: Axes, panel: Panel, lines: Lines) -> None:
  for colour, (metric, told) in zip(canvas.OKABE_ITO, panel.curves.items(), strict=False):
    for kind, (steps, values) in _kinds(metric, lines).items():
      axis.plot(steps, values, color=colour, label=f"{told}, {kind}", **_STYLES[kind])
  shown = [Line2D([], [], color=c) for c, _ in zip(canvas.OKABE_ITO, panel.curves, strict=False)]
  if len(shown) > 1:
    axis.legend(shown, panel.curves.values(), fontsize=8, frameon=False)
  axis.set_title(panel.title, fontsize=10)
  axis.set_xlabel("step", fontsize=9)
  axis.set_ylabel(panel.unit, fontsize=9)
  axis.tick_params(labelsize=8)


UNPAIRED = (
  "Held-out donors have no image: of them only what counts alone decide is drawn beside training."
)


def _held_out_without_images(lines: Lines) -> bool:
  """Whether pairs of held-out donors were looked for, and never found."""
  name = "held_out/loss/spot"
  return any(name in line for line in lines) and all(line.get(name) is None for line in lines)


def _kinds(metric: str, lines: Lines) -> dict[str, tuple[list[int], list[float]]]:
  """Kind of curve -> its steps and values, of those that were logged."""
  chance = metric.replace("loss/", "chance/", 1) if metric.startswith("loss/") else ""
  names = {
    "training": metric,
    "its chance": chance,
    "held-out donors": f"held_out/{metric}",
    "their chance": f"held_out/{chance}",
  }
  if _held_out_without_images(lines) and metric not in _WITHOUT_IMAGES:
    del names["held-out donors"], names["their chance"]
  found = {}
  for kind, name in names.items():
    points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
    if points:
      found[kind] = tuple(map(list, zip(*points, strict=True)))
  return found


def _stages(lines: Lines) -> dict[str, tuple[int, int]]:
  """Stage -> the step at which it begins and the one at which the next does."""
  steps = {}
  for line in lines:
    if "stage" in line:
      steps.setdefault(line["stage"], []).append(line["step"])
  starts = [min(of) for of in steps.values()]
  ends = [*starts[1:], max((line["step"] for line in lines), default=0)]
  return dict(zip(steps, zip(starts, ends, strict=False), strict=True))


def _shade(axis: Axes, stages: Mapping[str, tuple[int, int]]) -> None:
  for place, (start, end) in enumerate(stages.values()):
    axis.axvspan(start, end, color="0.5", alpha=_SHADES[place % len(_SHADES)], linewidth=0)


def _key(stages: Mapping[str, tuple[int, int]], lines: Lines) -> list[Line2D | Patch]:
  """What the styles and the shades mean; told once, where no curve lies."""
  ink = plt.rcParams["text.color"]
  shown = {
    kind for panel in _logged(lines) for name in panel.curves for kind in _kinds(name, lines)
  }
  styles = [
    Line2D([], [], color=ink, label=kind, **style)
    for kind, style in _STYLES.items()
    if kind in shown
  ]
  shades = [
    Patch(facecolor=("0.5", _SHADES[place % len(_SHADES)]), edgecolor=ink, linewidth=0.5,
          label=f"stage {name}, from step {start:,}")
    for place, (name, (start, _)) in enumerate(stages.items())
  ]  # fmt: skip
  return [*styles, *shades]


def _mark_alarms(axis: Axes, lines: Lines) -> None:
  """A red tick at the bottom for each line in which something rang."""
  steps = [line["step"] for line in lines if line.get("alarms")]
  heights = [0.02] * len(steps)
  axis.plot(steps, heights, "|", color=ALARM, markersize=9, transform=axis.get_xaxis_transform())


@dataclasses.dataclass(frozen=True)
class DrawnCurves:
  """Two data URIs and how many steps they cover."""

  light: str
  dark: str
  steps: str


def drawn_curves(lines: Lines) -> DrawnCurves:
  """The training figure, drawn twice."""
  styles = {"light": "default", "dark": "dark_background"}
  drawn = {name: _svg(lines, style) for name, style in styles.items()}
  return DrawnCurves(**drawn, steps=f"{max(line['step'] for line in lines):,}")


def _svg(lines: Lines, style: str) -> str:
  with plt.style.context(style), plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "hibio"}):
    figure = training_figure(lines)
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    plt.close(figure)
  return canvas.svg(text.getvalue())
