import importlib
import itertools

import pytest

from experiments.faults import child, disks, guards, kills, resuming, row, signals
from experiments.faults.row import Attempt


class Target:
  """What faults are put into."""

  def call(self, number):
    return number


def test_a_fault_happens_at_the_call_it_names_and_at_no_other(monkeypatch):
  monkeypatch.setattr(Target, "call", Target.call)  # put back afterwards
  child.arm(f"{__name__}:Target.call@2=ENOSPC")
  target = Target()
  assert target.call(1) == 1
  with pytest.raises(OSError, match="No space left"):
    target.call(2)
  assert target.call(3) == 3


def test_a_row_says_what_came_of_an_attempt():
  def wrong():
    row.must(False, "other bytes")

  def skip():
    raise row.Skip("no right")

  found = [
    one
    for work in (lambda: "memory +1 %", wrong, skip)
    for one in row.tried(row.single("kill", "here", work))
  ]
  assert [one.status for one in found] == ["passed", "FAILED", "skipped"]
  said = row.table(found)
  assert "| kill | 2 | 1 | 0 |" in said
  assert "FAILED: kill: here: other bytes" in said
  assert "passed: kill: here: memory +1 %" in said


def test_behind_a_fault_that_came_out_wrong_no_other_is_taken_for_tried():
  def work():
    yield
    row.must(False, "other bytes")
    yield

  found = row.tried(Attempt("kill", ("first", "second", "third"), work))
  assert [one.problem for one in found] == ["", "other bytes", "not reached"]


def _places():
  faults = [f"{place}=SIGKILL" for place in itertools.chain(*kills.TRAINING, kills.PREPARATION)]
  return faults + [fault for stops in signals.IN_TRAINING for fault in stops.values()]


@pytest.mark.parametrize("fault", _places())
def test_every_place_of_a_fault_exists(fault):
  module, _, path = fault.partition("@")[0].removesuffix("+").partition(":")
  found = importlib.import_module(module)
  for name in path.split("."):
    found = getattr(found, name)
  assert callable(found)


def test_there_are_as_many_faults_as_are_promised():
  assert sum(map(len, kills.TRAINING)) >= 20
  assert len(kills.PREPARATION) >= 10
  for module in (disks, guards, resuming, signals):
    assert callable(module.rows)
