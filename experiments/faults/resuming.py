"""Runs that go on under other circumstances: threads, devices, processes, a corpus made again."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator
from pathlib import Path

from experiments.faults.row import Attempt, must
from experiments.faults.setting import WINDOWS, Setting, lines, on_devices, run

_STOP = "hibio.training.sharding:put_batch@5=SIGTERM"


def rows(setting: Setting) -> Iterator[Attempt]:
  kind = "going on"
  yield Attempt(kind, "with other threads", functools.partial(_threads, setting))
  yield Attempt(kind, "with the corpus prepared again", functools.partial(_prepared_again, setting))
  whole = setting.on_four_devices
  for devices in (1, 2, 8):
    what = f"of 4 devices on {devices}"
    yield Attempt(kind, what, functools.partial(_devices, setting, whole, devices))


def _threads(setting: Setting) -> None:
  workdir = setting.folder() / "run"
  run(*setting.pretrain(workdir, "--config.num_threads=1"), fault=_STOP).must_end_with(75)
  run(*setting.pretrain(workdir, "--config.num_threads=7")).must_end_with(0)
  setting.must_be_like_reference(workdir)


def _prepared_again(setting: Setting) -> None:
  """The corpus is lost in the middle of a run."""
  folder = setting.folder()
  corpus, workdir = folder / "corpus", folder / "run"
  shutil.copytree(setting.corpus, corpus)
  command = setting.pretrain(workdir, f"--config.corpus={corpus}")
  run(*command, fault=_STOP).must_end_with(75)
  shutil.rmtree(corpus)
  run(*setting.prepare(corpus)).must_end_with(0)
  run(*command).must_end_with(0)
  setting.must_be_like_reference(workdir)


def _devices(setting: Setting, whole: Path, number: int) -> None:
  """The loss of every step is that of 4 devices to the end, but for the order of sums."""
  workdir = setting.folder() / "run"
  run(*setting.pretrain(workdir, *WINDOWS), fault=_STOP, env=on_devices(4)).must_end_with(75)
  run(*setting.pretrain(workdir, *WINDOWS), env=on_devices(number)).must_end_with(0)
  mine, theirs = _losses(workdir), _losses(whole)
  must(mine.keys() == theirs.keys(), "other steps")
  worst = max(abs(mine[step] - theirs[step]) / abs(theirs[step]) for step in theirs)
  must(worst < 1e-4, f"a loss is {worst:.1e} off")


def _losses(workdir: Path) -> dict[int, float]:
  return {line["step"]: line["loss"] for line in lines(workdir)}
