"""Training curves: every objective, with chance, over the stages; alarms are red."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from hibio.report import canvas
from hibio.training import alarms, metrics

PANELS = (
  ("spot contrast", ("loss/spot", "held_out/loss/spot", "chance/spot")),
  ("pathway anchors", ("loss/pathway", "loss/prototype")),
  ("regions", ("loss/region", "loss/spot_to_region")),
  ("hierarchy, smoothness, separation", ("loss/hierarchy", "loss/smoothness", "loss/separation")),
  ("reconstruction", ("loss/reconstruction",)),
  (
    "effective rank of the embeddings",
    ("monitor/effective_rank_image", "monitor/effective_rank_gene"),
  ),
)

ALARM = "C3"


def draw(workdir: Path) -> Path:
  """Draws `figures/training.png` of a work directory from its `metrics.jsonl`."""
  drawn = training_figure(metrics.read(workdir))
  path = workdir / "figures" / "training.png"
  path.parent.mkdir(parents=True, exist_ok=True)
  drawn.savefig(path, dpi=130)
  plt.close(drawn)
  return path


def training_figure(lines: Sequence[Mapping[str, Any]]) -> Figure:
  """The panels, from the lines of `metrics.jsonl`; the caller saves and closes it."""
  drawn, axes = plt.subplots(2, 3, figsize=(13, 6.5), constrained_layout=True, sharex=True)
  for axis, (title, names) in zip(axes.flat, PANELS, strict=True):
    for name in names:
      points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
      if points:
        style = {"linestyle": "--", "color": "0.5"} if name.startswith("chance") else {}
        axis.plot(*zip(*points, strict=True), label=name, linewidth=1.2, **style)
    axis.set_title(title, fontsize=10)
    _shade_stages(axis, lines)
    _mark_alarms(axis, lines)
    if axis.get_legend_handles_labels()[0]:
      axis.legend(fontsize=7, frameon=False)
  for axis in axes[-1]:
    axis.set_xlabel("step")
  if begun := alarms.first_steps(lines):
    said = ", ".join(f"{name} (step {step})" for name, step in begun.items())
    drawn.suptitle(f"alarms: {said}", color=ALARM, fontsize=9)
  return drawn


def _mark_alarms(axis, lines: Sequence[Mapping[str, Any]]) -> None:
  """A red tick at the bottom for each line in which something rang."""
  steps = [line["step"] for line in lines if line.get("alarms")]
  heights = [0.02] * len(steps)
  axis.plot(steps, heights, "|", color=ALARM, markersize=9, transform=axis.get_xaxis_transform())


def _shade_stages(axis, lines: Sequence[Mapping[str, Any]]) -> None:
  stages = list(dict.fromkeys(line["stage"] for line in lines if "stage" in line))
  for number, stage in enumerate(stages):
    steps = [line["step"] for line in lines if line.get("stage") == stage]
    axis.axvspan(min(steps), max(steps), color="C7", alpha=0.06 + 0.08 * (number % 2), linewidth=0)
    axis.text(
      min(steps),
      1.0,
      f" {stage}",
      transform=axis.get_xaxis_transform(),
      fontsize=7,
      va="top",
      color="0.4",
    )


@dataclasses.dataclass(frozen=True)
class DrawnCurves:
  """Two data URIs and how many steps they cover."""

  light: str
  dark: str
  steps: str


def drawn_curves(lines: Sequence[Mapping[str, Any]]) -> DrawnCurves:
  """Lines of `metrics.jsonl`, drawn twice."""
  styles = {"light": "default", "dark": "dark_background"}
  drawn = {name: _svg(lines, style) for name, style in styles.items()}
  return DrawnCurves(**drawn, steps=f"{max(line['step'] for line in lines):,}")


def _svg(lines: Sequence[Mapping[str, Any]], style: str) -> str:
  with plt.style.context(style), plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "hibio"}):
    figure = training_figure(lines)
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    plt.close(figure)
  return canvas.svg(text.getvalue())
