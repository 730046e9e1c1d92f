"""The frame of the benchmarks: what it says of a ratio, and when it says none."""

import subprocess
import sys

import numpy as np
import pytest

from data_pipelines.entry import ROOT
from experiments.benchmarks import report, results, side_by_side
from experiments.benchmarks.side_by_side import Case, judged, measured

RESULT = results.Result("C0 sum", "NumPy", 2.0, results.SAME)
STEADY = np.stack([np.full(9, 1.0), np.linspace(2.9, 3.1, 9)], axis=1)


def test_a_ratio_above_one_says_that_ours_takes_less():
  found = judged(RESULT, STEADY, elsewhere=0.0)
  assert found.ratio == pytest.approx(3.0)
  assert found.status == results.MET
  assert judged(RESULT, STEADY[:, ::-1], elsewhere=0.0).status == results.MISSED


@pytest.mark.parametrize(
  ("times", "elsewhere"),
  [(STEADY, 0.5), (np.stack([np.ones(8), np.linspace(1, 9, 8)], axis=1), 0.0)],
)
def test_a_busy_machine_or_unsteady_rounds_show_no_ratio(times, elsewhere):
  found = judged(RESULT, times, elsewhere)
  assert found.status == results.VOID
  assert found.cells()[1:5] == ("-", "NumPy", "-", "-")


def _case(theirs, **settings) -> Case:
  return Case("C0 sum", "NumPy", 1.0, lambda quick: (lambda: 1.0, theirs), **settings)


def test_long_work_is_run_twice_in_all(monkeypatch):
  calls = []
  monkeypatch.setattr(side_by_side, "LONG_S", -1.0)
  monkeypatch.setattr(side_by_side, "ENOUGH_S", -1.0)
  assert measured(_case(lambda: calls.append(1) or 1.0, rounds=9)).rounds == len(calls) == 2


def test_another_result_is_wrong_however_fast():
  assert measured(_case(lambda: 1.1)).status == results.WRONG


def test_a_quick_run_tells_no_speed():
  found = measured(_case(lambda: 1.0), quick=True)
  assert (found.status, found.ratio) == (results.SAME, None)


def test_a_peer_that_is_not_installed_is_named():
  found = measured(_case(lambda: 1.0, needs=("no_such_module",)))
  assert (found.status, found.why) == (results.NO_PEER, "no_such_module")


def test_a_broken_case_is_a_row_of_its_own(capsys):
  assert measured(_case(lambda: 1 / 0)).status == results.FAILED
  assert "ZeroDivisionError" in capsys.readouterr().err


def test_what_counts_without_a_clock_is_what_the_functions_return():
  case = Case("C0 bytes", "NumPy", 2.0, lambda quick: (lambda: 10, lambda: 30), clock=None)
  assert measured(case).ratio == 3.0


def test_a_void_result_does_not_replace_an_older_ratio(tmp_path):
  path = tmp_path / "results.jsonl"
  for elsewhere in (0.0, 1.0):
    judged(RESULT, STEADY, elsewhere).append(path)
  assert results.newest(path)["C0 sum"].status == results.MET


def test_every_case_has_a_line_in_the_table_though_it_was_never_measured(tmp_path):
  names = [line.split(" | ")[0] for line in report.report(tmp_path / "no", ["ranks"]).split("\n")]
  assert "| C11 exact ranks, 512 of 100,000 items" in names


@pytest.mark.slow
def test_both_sides_of_every_benchmark_give_the_same_or_their_peer_is_absent():
  command = [sys.executable, "-m", "experiments.benchmarks.report", "--measure", "--quick"]
  said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
  assert said.count(results.SAME) + said.count(results.NO_PEER) == len(said.splitlines())
