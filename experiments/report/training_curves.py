"""The training curves of a run, drawn for light and for dark pages."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt

from experiments.figures import curves
from experiments.report import pictures


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
    figure = curves.figure(lines)
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    plt.close(figure)
  return pictures.svg(text.getvalue())
