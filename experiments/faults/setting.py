"""Where faults are tried: tiny tissue, a corpus, and runs in processes of their own."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

from experiments.faults.child import HAPPENS
from experiments.faults.row import must
from hibio.training import metrics
from hibio.training.checkpoints import FOLDER, read_params

CHILD = "experiments.faults.child"
TIMEOUT = 600
BAD_INPUT, BUSY, CANNOT_SAVE, INTERRUPTED, NOT_FINITE = 3, 73, 74, 75, 76
_MOST, _MOST_WITH_MOVED, _MOST_MOVED = 1e-4, 1e-2, 0.01
"""Of a loss; of one where spots have moved to other regions; and the share of spots that may."""
_CLOCK = ("pairs_per_second", "seconds", "data_wait_share")


@dataclasses.dataclass(frozen=True)
class Ended:
  """A command that has ended.

  Attributes:
    said: on stdout and stderr.
    seconds: from the fault to its end; from its start where there was none.
  """

  status: int
  said: str
  seconds: float

  @property
  def last(self) -> str:
    """The last line that it said."""
    return next((line for line in reversed(self.said.splitlines()) if line.strip()), "")

  def must_end_with(self, *statuses: int) -> Ended:
    """Itself, if it ended so and without a traceback."""
    must(self.status in statuses, f"ended with {self.status}, not {statuses}: {self.last[:300]}")
    must("Traceback (most recent" not in self.said, f"a traceback: {self.last[:300]}")
    return self


class Setting:
  """Folders under one root, made anew: bits depend on the code, and on the number of cores."""

  def __init__(self, root: Path):
    self.root = root
    root.mkdir(parents=True, exist_ok=True)
    for name in ("attempts", "raw", "corpus", "reference"):
      shutil.rmtree(root / name, ignore_errors=True)
    self._number = itertools.count()

  def folder(self) -> Path:
    """An empty place for one attempt."""
    place = self.root / "attempts" / f"{next(self._number):03d}"
    place.mkdir(parents=True)
    return place

  @functools.cached_property
  def raw(self) -> Path:
    """Synthetic sections."""
    raw = self.root / "raw"
    run("data_pipelines.synthetic", "--preset=tiny", f"--output={raw}").must_end_with(0)
    return raw

  @functools.cached_property
  def corpus(self) -> Path:
    """Prepared from them without a fault."""
    run(*self.prepare(self.root / "corpus")).must_end_with(0)
    return self.root / "corpus"

  def prepare(self, corpus: Path) -> tuple[str, ...]:
    """The command that prepares the sections."""
    return (
      "data_pipelines.prepare", f"--input={self.raw}", f"--output={corpus}",
      f"--gene_sets={self.raw / 'programs.gmt'}", "--jobs=1",
    )  # fmt: skip

  def pretrain(self, workdir: Path, *more: str) -> tuple[str, ...]:
    """The command that trains: twelve steps in three stages, with refreshes and three saves."""
    return (
      "experiments.pretrain", "--config=experiments/hibio.py:test",
      f"--config.workdir={workdir}", f"--config.corpus={self.corpus}", *more,
    )  # fmt: skip

  @functools.cached_property
  def reference(self) -> Path:
    """A run that nothing happens to."""
    workdir = self.root / "reference"
    run(*self.pretrain(workdir)).must_end_with(0)
    return workdir

  def must_be_like_reference(self, workdir: Path) -> None:
    """The same parameters and the same lines, to the last bit."""
    mine, theirs = (read_params(of)[0] for of in (workdir, self.reference))
    for one, other in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
      must(np.array_equal(one, other), "other parameters than without the fault")
    for one, other in zip(lines(workdir), lines(self.reference), strict=True):
      for name in other:
        must(one.get(name) == other[name], f"another {name} at step {other['step']}")


def must_have_losses_of(other: Path, workdir: Path) -> None:
  """Each step's is that of another run, but for the order of sums; small parameters may differ.

  Regions are found from embeddings: by the order of sums a spot between two may move to the other.
  """
  mine, theirs = ({one["step"]: one["loss"] for one in lines(of)} for of in (workdir, other))
  must(mine.keys() == theirs.keys(), "other steps")
  moved = float((_regions(workdir, max(mine)) != _regions(other, max(mine))).any(axis=0).mean())
  must(moved <= _MOST_MOVED, f"{moved:.1%} of the spots lie in other regions")
  worst = max(abs(mine[step] - theirs[step]) / abs(theirs[step]) for step in theirs)
  must(worst < (_MOST_WITH_MOVED if moved else _MOST), f"a loss is {worst:.1e} off")


def _regions(workdir: Path, step: int) -> np.ndarray:
  folder = workdir.absolute() / FOLDER / str(step) / "regions"
  return np.asarray(ocp.StandardCheckpointer().restore(folder)["regions"])


def lines(workdir: Path) -> list[dict]:
  """`metrics.jsonl`, without what depends on the clock."""
  return [
    {name: line[name] for name in line if name not in _CLOCK} for line in metrics.read(workdir)
  ]


def on_devices(number: int) -> dict[str, str]:
  """The environment of a command that has so many devices, which are simulated."""
  return {"XLA_FLAGS": f"--xla_force_host_platform_device_count={number}"}


class Command(subprocess.Popen):
  """`python -m MODULE ...` under way, with a fault in it or without.

  Args:
    fault: as `experiments.faults.child` reads it.
    env: on top of this process's environment.
  """

  def __init__(
    self, module: str, *arguments: str, fault: str = "", env: Mapping[str, str] | None = None
  ):
    self._begun = time.time()
    # A pipe would be full some time.
    self._said = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
    super().__init__(
      [sys.executable, "-m", CHILD, fault, module, *arguments],
      stdout=self._said,
      stderr=subprocess.STDOUT,
      env={**os.environ, **(env or {})},
    )

  def ended(self) -> Ended:
    """Waits for its end; says what became of it."""
    try:
      self.wait(TIMEOUT)
      late = ""
    except subprocess.TimeoutExpired:
      self.kill()
      self.wait()
      late = f"\nstill there after {TIMEOUT} s"
    with self._said as file:
      file.seek(0)
      said = file.read() + late
    told = re.findall(rf"^{HAPPENS} ([\d.]+)$", said, re.MULTILINE)
    return Ended(self.returncode, said, time.time() - float(told[-1] if told else self._begun))


def run(
  module: str, *arguments: str, fault: str = "", env: Mapping[str, str] | None = None
) -> Ended:
  """The same, to its end."""
  return Command(module, *arguments, fault=fault, env=env).ended()
