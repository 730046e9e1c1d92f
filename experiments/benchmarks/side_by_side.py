"""Ours and a peer on the same input, in turns, in one process: the ratio of what they take.

A time alone says little: it is the machine's, and the hour's. A benchmark is a script of this
folder with a list of `Case` as `CASES` and, at its end, `side_by_side.run(__doc__, CASES)`;
`ranks.py` is a short one, and `report.SCRIPTS` names them all.

Every case first checks that both give the same result. Then come rounds, in each of which the two
run in random order on pinned cores. While others keep the machine busy, or where the rounds differ
too much, the case says VOID and no ratio: a ratio from a busy machine can be wrong in sign.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import random
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines import entry
from experiments.benchmarks import machine, results
from experiments.benchmarks.results import Result

BUSY = 0.1
"""Cores that others may keep busy."""

UNSTEADY = 0.15
"""Of the median: how far apart quartiles of the ratio may lie."""

LONG_S, ENOUGH_S = 15.0, 40.0
"""Of a first run, from where on it needs no other one to warm up; and of all rounds together, after
which two are enough."""

Pair = tuple[Callable[[], Any], Callable[[], Any]]
"""Ours and the peer's: each does all that is measured and returns the result, waited for."""

cpu, wall = time.process_time, time.perf_counter
"""Clocks: seconds that this process kept cores busy, and seconds that passed."""


def equal(ours: Any, theirs: Any) -> None:
  """Raises AssertionError where numbers differ by more than rounding in single precision."""
  np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-4, atol=1e-5)


@dataclasses.dataclass(frozen=True)
class Case:
  """One comparison.

  Attributes:
    name: begins with its number, and is no other case's.
    peer: what it is compared with.
    goal: lowest ratio peer / ours that is wanted.
    of: makes the two functions; True asks for a small input. The peer's packages are imported here.
    same: raises AssertionError where the two results differ.
    needs: modules of the peer, beside our own requirements.
    rounds: that are timed, after one that is not; fewer where they are long.
    clock: what is read before and after; None where the functions return what counts, as bytes.
    unit: of that.
  """

  name: str
  peer: str
  goal: float
  of: Callable[[bool], Pair]
  same: Callable[[Any, Any], None] = equal
  needs: tuple[str, ...] = ()
  rounds: int = 9
  clock: Callable[[], float] | None = cpu
  unit: str = "s"


def run(about: str, cases: Sequence[Case], cores: int = 1) -> None:
  """The command of a benchmark: measures its cases, a line each, and keeps the results."""
  flags = entry.Flags(about)
  quick = flags.bool("quick", False, "Only check that both give the same, on small inputs")
  only = flags.list("only", [], "Beginnings of the names of cases; default: all")
  output = flags.string("output", results.FILE, "File that results are appended to")
  entry.run(lambda: _all(cases, cores, quick.value, only.value, Path(output.value)), flags)


def _all(cases: Sequence[Case], cores: int, quick: bool, only: list[str], output: Path) -> None:
  cores = machine.pin(cores)
  wrong = False
  for case in cases:
    if only and not case.name.startswith(tuple(only)):
      continue
    result = dataclasses.replace(measured(case, quick), cores=cores)
    print(result.line(), flush=True)
    wrong |= result.status in (results.WRONG, results.FAILED)
    if not quick:
      result.append(output)
  sys.exit(int(wrong))


def measured(case: Case, quick: bool = False, seed: int = 0) -> Result:
  """One case; whatever breaks in it is its result and stops no other case."""
  result = Result(case.name, case.peer, case.goal, results.SAME, unit=case.unit)
  absent = [name for name in case.needs if importlib.util.find_spec(name) is None]
  if absent:
    return dataclasses.replace(result, status=results.NO_PEER, why=", ".join(absent))
  try:
    both = case.of(quick)
    watch, found, taken = machine.Watch(), [None, None], np.zeros((1, 2))
    for which in (0, 1):
      found[which], taken[0, which] = _timed(both[which], case.clock or wall)
    if case.clock is not None:
      case.same(*found)
    if quick:
      return result
    times = _rounds(case, both, taken, random.Random(seed)) if case.clock else np.array([found])
  except AssertionError as error:
    why = " ".join(str(error).split())[:200]
    return dataclasses.replace(result, status=results.WRONG, why=why)
  except Exception as error:  # a benchmark of many rows: the others still count
    traceback.print_exc()
    return dataclasses.replace(result, status=results.FAILED, why=f"{type(error).__name__}")
  return judged(result, times, watch.elsewhere() if case.clock else 0.0)


def judged(result: Result, times: np.ndarray, elsewhere: float) -> Result:
  """The result with its ratio and what to think of it.

  Args:
    times: what ours and the peer took, `[round, 2]`.
    elsewhere: cores that others kept busy meanwhile.
  """
  ours, theirs = np.median(times, axis=0)
  low, ratio, high = np.quantile(times[:, 1] / times[:, 0], (0.25, 0.5, 0.75))
  status, why = results.MET if ratio >= result.goal else results.MISSED, ""
  if elsewhere > BUSY:
    status, why = results.VOID, f"others kept {elsewhere:.1f} cores busy"
  elif high - low > UNSTEADY * ratio:
    status, why = results.VOID, f"rounds differ by {(high - low) / ratio:.0%}"
  return dataclasses.replace(
    result, status=status, why=why, ours=float(ours), theirs=float(theirs), ratio=float(ratio),
    quartiles=(float(low), float(high)), rounds=len(times), elsewhere=elsewhere,
  )  # fmt: skip


def _rounds(case: Case, both: Pair, first: np.ndarray, rng: random.Random) -> np.ndarray:
  rounds, begun = ([first] if first.sum() > LONG_S else []), wall()
  while len(rounds) < case.rounds:
    times = np.zeros((1, 2))
    for which in rng.sample((0, 1), 2):
      times[0, which] = _timed(both[which], case.clock)[1]
    rounds.append(times)
    if len(rounds) > 1 and wall() - begun > ENOUGH_S:
      break
  return np.concatenate(rounds)


def _timed(work: Callable[[], Any], clock: Callable[[], float]) -> tuple[Any, float]:
  begun = clock()
  found = work()
  return found, clock() - begun
