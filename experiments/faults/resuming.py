"""Runs that go on under other circumstances: threads, devices, processes, a corpus made again."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator

from experiments.faults.row import Attempt, single
from experiments.faults.setting import Setting, must_have_losses_of, on_devices, run

_STOP = "hibio.training.sharding:put_batch@5=SIGTERM"
_DEVICES = (1, 2, 8)
_WINDOWS = "--config.training.windows_per_batch=8"
"""Which eight devices can share."""


def rows(setting: Setting) -> Iterator[Attempt]:
  kind = "going on"
  what = tuple(f"of 4 devices on {devices}" for devices in _DEVICES)
  yield Attempt(kind, what, functools.partial(_devices, setting))
  yield single(kind, "with other threads", functools.partial(_threads, setting))
  yield single(kind, "with the corpus prepared again", functools.partial(_prepared_again, setting))


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


def _devices(setting: Setting) -> Iterator[None]:
  """The loss of every step is that of 4 devices to the end, but for the order of sums."""
  folder = setting.folder()
  whole, stopped = folder / "whole", folder / "stopped"
  run(*setting.pretrain(whole, _WINDOWS), env=on_devices(4)).must_end_with(0)
  run(*setting.pretrain(stopped, _WINDOWS), fault=_STOP, env=on_devices(4)).must_end_with(75)
  for number in _DEVICES:
    workdir = folder / f"on-{number}"
    shutil.copytree(stopped, workdir)
    run(*setting.pretrain(workdir, _WINDOWS), env=on_devices(number)).must_end_with(0)
    must_have_losses_of(whole, workdir)
    yield
