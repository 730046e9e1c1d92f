"""What is done about steps that changed nothing: each is told, and too many end the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipelines import console
from hibio.batch import Batch
from hibio.training import metrics, recent
from hibio.training.state import TrainState
from hibio.training.stopping import NOT_FINITE, RunStopped

MAX_SKIPPED_IN_A_ROW = 10
MAX_SKIPPED_RECENTLY = recent.STEPS // 100
"""More of the last `recent.STEPS` steps, 1 in 100, and the run is not worth going on with."""

_MAX_TOLD = 50
"""Of one start; a bad corner of a corpus must not fill the disk."""

_NEXT = "lower --config.training.learning_rate, or look at those spots"


class Guard:
  """Looks at what each step measured.

  Attributes:
    skipped: steps of the run so far that gave nothing finite.

  Args:
    sections: names of the corpus' sections, in the order of their rows.
    state: from which the steps are counted.
  """

  def __init__(self, workdir: Path, sections: Sequence[str], state: TrainState):
    self._workdir, self._sections = workdir, sections
    self.skipped, self._spikes = int(state.skipped), int(state.spikes)
    self._told = 0

  def look(self, position: int, batch: Batch, measured: Mapping[str, Any]) -> None:
    """Says of a step that was skipped why, and which spots it read.

    Args:
      position: steps taken, this one too.

    Raises:
      RunStopped: status 76, after too many steps that gave nothing finite.
    """
    skipped, spikes = int(measured["skipped"]), int(measured["spikes"])
    if skipped > self.skipped:
      path = self._tell(position, "its loss or gradient is not finite", batch, measured)
      self._stop_after_too_many(position, path, measured)
    elif spikes > self._spikes:
      norm = float(measured["gradient_norm"])
      self._tell(position, f"its gradient's norm of {norm:.3g} is a spike", batch, measured)
    self.skipped, self._spikes = skipped, spikes

  def _tell(self, position: int, why: str, batch: Batch, measured: Mapping[str, Any]) -> Path:
    self._told += 1
    last = self._told >= _MAX_TOLD
    path = metrics.dump_path(self._workdir, position)
    if self._told <= _MAX_TOLD or int(measured["skipped_in_a_row"]) >= MAX_SKIPPED_IN_A_ROW:
      metrics.dump(path, position, batch, measured, self._sections)
      more = " (no more of them are told)" if last else ""
      console.say(f"hibio: warning: step {position} was skipped: {why}; its spots: {path}{more}")
    return path

  def _stop_after_too_many(self, position: int, path: Path, measured: Mapping[str, Any]) -> None:
    in_a_row, recently = (int(measured[f"skipped_{when}"]) for when in ("in_a_row", "recently"))
    if in_a_row >= MAX_SKIPPED_IN_A_ROW:
      number = f"{in_a_row} steps in a row, up to step {position},"
    elif recently > MAX_SKIPPED_RECENTLY:
      number = f"{recently} of the last {min(position, recent.STEPS)} steps, up to step {position},"
    else:
      return
    raise RunStopped(
      NOT_FINITE,
      f"hibio: {self._workdir}: {number} gave a loss or a gradient that is not finite; none was"
      f" accepted. The last one's spots: {path}. Fix: {_NEXT}.",
    )
