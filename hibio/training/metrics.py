"""One line of JSON a measurement, appended to `metrics.jsonl`; a step is never there twice."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data_pipelines import console, files
from hibio.batch import Batch
from hibio.objectives.base import ITEMS

NAME = "metrics.jsonl"


class MetricsWriter:
  """Appends lines; losing one never stops a run."""

  def __init__(self, workdir: Path, resumed_at: int):
    """Keeps the lines up to step `resumed_at`; those after it are about to be made again."""
    self._workdir = workdir
    self._rewrite([line for line in read(workdir) if line["step"] <= resumed_at])

  def write(self, step: int, values: Mapping[str, Any]) -> None:
    """Appends one line.

    Args:
      step: optimizer steps taken so far.
      values: numbers and names; what is not finite is written as null.
    """
    with self._told(), (self._workdir / NAME).open("a") as file:
      file.write(to_json({"step": step} | dict(values)) + "\n")

  def put_right(self, step: int, values: Mapping[str, Any]) -> None:
    """The last line again, which is of that step, with other values."""
    with self._told():
      before = [line for line in read(self._workdir) if line["step"] < step]
      self._rewrite([*before, {"step": step} | dict(values)])

  def _rewrite(self, lines: Sequence[Mapping[str, Any]]) -> None:
    files.write_text(self._workdir / NAME, "".join(f"{to_json(line)}\n" for line in lines))

  @contextlib.contextmanager
  def _told(self) -> Iterator[None]:
    try:
      yield
    except OSError as error:
      path = self._workdir / NAME
      console.say(f"hibio: {path}: a line was lost ({error}); training goes on")


def read(workdir: Path) -> list[dict[str, Any]]:
  """The lines of a work directory by step; one that is torn is left out, of two the last counts."""
  found = files.json_lines(workdir / NAME)
  lines = {line["step"]: line for line in found if isinstance(line.get("step"), int)}
  return [lines[step] for step in sorted(lines)]


def mean_of(steps: Sequence[Mapping[str, Any]]) -> dict[str, float]:
  """Mean of each metric over some steps, each weighted by the items that it looked at.

  A step without items says nothing; nor does a value that is not finite. NaN where no step says
  anything.
  """
  means = {}
  for name in steps[0]:
    if name.startswith(ITEMS):
      continue
    values = np.array([float(one[name]) for one in steps])
    items = np.array([float(one.get(ITEMS + name, 1.0)) for one in steps])
    told = np.isfinite(values) & (items > 0)
    means[name] = float(np.average(values[told], weights=items[told])) if told.any() else math.nan
  return means


def line(step: int, num_steps: int, values: Mapping[str, Any], seconds_left: float) -> str:
  """`step 20/600 spot loss 5.21 (spot 4.80, chance 5.55; held out 5.01, chance 5.40) 192 pairs a
  step, 812/s, 3:10 left`."""
  spot = []
  for what, where in (("spot", ""), ("held out", "held_out/")):
    loss, chance = (values.get(f"{where}{name}/spot", math.nan) for name in ("loss", "chance"))
    if math.isfinite(loss + chance):
      spot.append(f"{what} {loss:.3f}, chance {chance:.3f}")
  contrast = f" ({'; '.join(spot)})" if spot else ""
  return (
    f"step {step}/{num_steps} {values['stage']} loss {values['loss']:.3f}{contrast}"
    f" {values['pairs']:.0f} pairs a step, {values['pairs_per_second']:.0f}/s,"
    f" {console.clock(seconds_left)} left"
  )


def dump_path(workdir: Path, step: int) -> Path:
  """Where `dump` writes; of several processes each has a file of its own."""
  process = f"-process-{jax.process_index()}" if jax.process_count() > 1 else ""
  return workdir / "nan_dump" / f"step-{step}{process}.json"


def dump(
  path: Path, step: int, batch: Batch, metrics: Mapping[str, Any], sections: Sequence[str]
) -> None:
  """Writes which spots a step read that was skipped, and what it measured.

  Of several processes each writes what it read itself. A disk that is full does not end a run.
  """
  real = np.asarray(batch.spot_mask)
  depth = np.asarray(batch.counts).sum(-1)[real]
  rows = np.asarray(batch.section_index)[real.any(-1)].tolist()
  content = {
    "step": step,
    "sections": sorted({sections[row] if row < len(sections) else str(row) for row in rows}),
    "section_index": np.asarray(batch.section_index).tolist(),
    "spot_index": np.asarray(batch.spot_index)[real].tolist(),
    "counts_of_a_spot": {"least": depth.min(initial=0), "most": depth.max(initial=0)},
    "metrics": dict(metrics),
  }
  try:
    files.write_text(path, to_json(content))
  except OSError as error:
    console.say(f"hibio: {path}: not written ({error})")


def to_json(value: Any) -> str:
  """JSON on one line; numbers that are not finite become null."""
  return json.dumps(_plain(value), allow_nan=False)


def _plain(value: Any) -> Any:
  if isinstance(value, Mapping):
    return {name: _plain(inner) for name, inner in value.items()}
  value = value.item() if hasattr(value, "item") else value
  return None if isinstance(value, float) and not math.isfinite(value) else value
