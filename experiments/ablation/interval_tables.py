"""How far other sections and other donors may differ: each method's means with their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from experiments.ablation.comparison import Cell, Comparison
from experiments.ablation.measures import GROUPS, Measure
from experiments.ablation.statistics import FEWEST, LEVEL, Interval, Mean


def means(comparison: Comparison) -> Iterator[str]:
  """Lines of Markdown: every preset and baseline, over sections and over donors."""
  methods = {f"`{name}`": row for name, row in comparison.presets.items()} | comparison.baselines
  over = ["sections"] + (["donors"] if _most(methods, "over_donors") >= FEWEST else [])
  if not _most(methods, "over_sections"):
    return
  yield "\n## Over sections and over donors\n"
  yield (
    f"Mean of each section's mean over seeds, with Student's t interval ({LEVEL:.0%}); then the"
    " same of donors, each the mean of its sections. In brackets: how many. This is how far other"
    " sections or donors may differ; the sd above is how far other seeds may."
    f" Of fewer than {FEWEST} no interval is given."
  )
  if "donors" not in over:
    yield (
      f"\n**Fewer than {FEWEST} donors were scored: nothing can be told of how far another donor"
      " would differ.**"
    )
  for title, measures in GROUPS.items():
    shown = [m for m in measures if _has(methods, m, "over_sections")]
    if shown:
      yield f"\n### {title}\n"
      yield from _table(methods, shown, over)


def differences(over_donors: Mapping[str, Mapping[str, Interval]]) -> Iterator[str]:
  """Lines of Markdown: differences to the reference with donors as units."""
  if not over_donors:
    return
  yield "\n### The same over donors\n"
  yield f"Each donor is the mean of its sections; measures with fewer than {FEWEST} are left out."
  for name, row in over_donors.items():
    cells = [
      f"{measure} {one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"
      f" ({one.num_units} x {one.num_seeds})"
      for measure, one in row.items()
    ]
    yield f"- `{name}`: " + "; ".join(cells)


def _table(
  methods: Mapping[str, Mapping[str, Cell]], shown: Sequence[Measure], over: Sequence[str]
) -> Iterator[str]:
  yield "| | over | " + " | ".join(measure.name for measure in shown) + " |"
  yield "| --- | --- |" + " ---: |" * len(shown)
  for name, row in methods.items():
    if any(measure.name in row for measure in shown):
      for what in over:
        cells = [_mean(getattr(row.get(m.name), f"over_{what}", None)) for m in shown]
        yield f"| {name} | {what} | " + " | ".join(cells) + " |"


def _mean(one: Mean | None) -> str:
  if one is None:
    return "-"
  interval = "" if one.low is None else f" [{one.low:.3f}, {one.high:.3f}]"
  return f"{one.mean:.3f}{interval} ({one.num_units})"


def _has(methods: Mapping[str, Mapping[str, Cell]], measure: Measure, what: str) -> bool:
  cells = (row.get(measure.name) for row in methods.values())
  return any(getattr(cell, what, None) for cell in cells)


def _most(methods: Mapping[str, Mapping[str, Cell]], what: str) -> int:
  """The most units that any figure is over."""
  found = (getattr(cell, what) for row in methods.values() for cell in row.values())
  return max((one.num_units for one in found if one), default=0)
