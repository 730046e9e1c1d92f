"""Sections worked on side by side, each by a process of its own.

Results come in the order of the sections, whoever is done first, so that a corpus does not depend
on the number of processes.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from data_pipelines.problems import BadInputError

Each = Callable[[Callable, Iterable[tuple]], Iterator[Any]]
"""(function, arguments of each call) -> results, in order."""

AHEAD = 2
"""Calls a worker that are begun before their results are asked for."""

_BYTES = 4 << 30
"""Memory that a section may need: its counts, and a slide of a billion pixels."""


def by_itself() -> int:
  """As many workers as there are cores for, and memory."""
  cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
  memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
  return max(1, min(cores, memory // _BYTES))


@contextlib.contextmanager
def workers(jobs: int) -> Iterator[Each]:
  """Lends `jobs` processes, which end with the context, at once where it ends in an exception.

  Functions and arguments are pickled, unless there is one job: the calls then happen here.

  Raises:
    BadInputError: a process was killed, mostly because memory ran out.
  """
  if jobs <= 1:
    yield itertools.starmap
    return
  others = set(multiprocessing.active_children())
  # Not forked: the caller may have threads, and libraries that do not survive a fork.
  context = multiprocessing.get_context("spawn")
  with ProcessPoolExecutor(jobs, mp_context=context, initializer=_leave_with_parent) as pool:
    try:
      yield functools.partial(_in_order, pool, AHEAD * jobs)
    except BaseException as problem:
      for worker in set(multiprocessing.active_children()) - others:
        worker.kill()
      if isinstance(problem, BrokenProcessPool):
        raise BadInputError(
          "--jobs", "a process", "killed", f"memory for {jobs} sections at a time",
          "give fewer --jobs and run the same command again; finished sections are kept",
        ) from problem  # fmt: skip
      raise


def attempted(function: Callable, *arguments) -> Any:
  """What the function returns, or the bad input that it met: others are then still worked on."""
  try:
    return function(*arguments)
  except BadInputError as problem:
    return problem


def given(result: Any) -> Any:
  """What `attempted` got.

  Raises:
    BadInputError: it met bad input.
  """
  if isinstance(result, BadInputError):
    raise result
  return result


def _in_order(
  pool: ProcessPoolExecutor, ahead: int, function: Callable, calls: Iterable[tuple]
) -> Iterator[Any]:
  waiting = collections.deque()
  for call in calls:
    waiting.append(pool.submit(function, *call))
    if len(waiting) >= ahead:
      yield waiting.popleft().result()
  while waiting:
    yield waiting.popleft().result()


def _leave_with_parent() -> None:
  """Signals, sent to all of a group, are for the parent to answer; when it is gone, so are we."""
  for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)

  def wait() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)

  threading.Thread(target=wait, daemon=True).start()
