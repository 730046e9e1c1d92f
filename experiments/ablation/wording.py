"""What presets and differences are called in a sentence."""

from __future__ import annotations

from collections.abc import Mapping

from experiments.ablation.measures import MEASURES, Measure
from experiments.ablation.statistics import Interval

PHRASES = {
  "no_tfidf": "With the most expressed genes in place of keyword genes",
  "value_aware_raw": "With the 50 most expressed genes and their values alone",
  "no_spatial": "Without a look at how patterned genes are over the tissue",
  "no_profile": "With keyword genes alone, without whole profiles of spot and neighbourhood",
  "no_neighbourhood": "Without the mean profile of the spots around",
  "no_stem": "With patches cut into pieces in place of convolutions",
  "no_surroundings": "With the spot's own expression alone to reconstruct",
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


RULE = (
  "A level adds something to a measure only where the measure gets worse without it and the"
  " interval excludes 0."
)


def sentence(preset: str, differences: Mapping[str, Interval]) -> str:
  """What changes for certain where a preset takes the default's place, and how much does not.

  `Without pathway anchors: labels from expression -0.030 [-0.050, -0.010], worse. In 18 of 19
  measures the interval includes 0.`
  """
  known = [(m, differences[m.name]) for m in MEASURES if m.name in differences]
  sure = [_change(measure, one) for measure, one in known if one.excludes_zero]
  changes = "; ".join(sure) if sure else "nothing changes for certain"
  rest = f"In {len(known) - len(sure)} of {len(known)} measures the interval includes 0."
  return f"{begins(preset)}: {changes}. {rest}"


def _change(measure: Measure, one: Interval) -> str:
  how = "worse" if (one.mean > 0) == measure.lower_is_better else "better"
  return f"{measure.phrase} {one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}], {how}"
