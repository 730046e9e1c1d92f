"""What presets and differences are called in a sentence."""

from __future__ import annotations

from experiments.ablation.measures import MEASURES, Measure
from experiments.ablation.statistics import Interval

PHRASES = {
  "no_tfidf": "With the most expressed genes in place of keyword genes",
  "value_aware_raw": "With the 50 most expressed genes and their values alone",
  "no_pathway": "Without pathway anchors",
  "no_region": "Without regions",
  "joint": "With all objectives from the first step",
  "random_pathways": "With random gene sets of the same sizes",
  "paper": "As the abstract describes it",
  "spot_only": "With the plain spot contrast alone",
  "bleep": "With BLEEP's soft contrast alone",
  "shuffled_pairs": "With pairs shuffled",
}
"""Preset -> how its sentence begins."""

SWAPPED = ", coordinates swapped"


def begins(preset: str) -> str:
  """How a sentence about a preset begins."""
  if preset.endswith(SWAPPED):
    return "With the coordinates of each section's spots swapped"
  return PHRASES.get(preset, f"With `{preset}`")


def change(measure: Measure, difference: Interval) -> str:
  """`labels from expression change by -0.030 [-0.050, -0.010]`."""
  text = f"{measure.phrase} {difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
  return text + (" (less is better)" if measure.lower_is_better else "")


def sentence(preset: str, differences: dict[str, Interval]) -> str:
  """What changes for certain when a preset takes the default's place, and what does not."""
  known = [(m, differences[m.name]) for m in MEASURES if m.name in differences]
  worse = [change(m, d) for m, d in known if d.excludes_zero and _harms(m, d)]
  better = [change(m, d) for m, d in known if d.excludes_zero and not _harms(m, d)]
  parts = []
  if worse:
    parts.append("what gets worse: " + "; ".join(worse))
  if better:
    parts.append("what gets better: " + "; ".join(better))
  rest = len(known) - len(worse) - len(better)
  if rest:
    of = "all" if rest == len(known) else f"the other {rest} of"
    parts.append(f"of {of} {len(known)} measures the interval includes 0")
  return f"{begins(preset)}, " + ". ".join(p[0].upper() + p[1:] if i else p
                                           for i, p in enumerate(parts)) + "."  # fmt: skip


def _harms(measure: Measure, difference: Interval) -> bool:
  return (difference.mean > 0) == measure.lower_is_better
