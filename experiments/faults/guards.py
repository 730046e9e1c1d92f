"""Numbers that are none, work directories that are held, damaged or shared."""

from __future__ import annotations

import functools
import json
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from experiments.faults.row import Attempt, must, single
from experiments.faults.setting import (
  BAD_INPUT,
  BUSY,
  CANNOT_SAVE,
  NOT_FINITE,
  TIMEOUT,
  Command,
  Setting,
  lines,
  run,
)
from hibio.training.checkpoints import read_params

_PUT = "hibio.training.sharding:put_batch"
_STEPS = tuple(
  f"--config.training.{key}" for key in ("num_steps=400", "evaluate_every=0", "log_every=10")
)


def rows(setting: Setting) -> Iterator[Attempt]:
  attempts: dict[tuple[str, str], Callable[[Setting], None]] = {
    ("checkpoints", "1,000 reads beside training"): _read_beside,
    ("not finite", "one step of many"): _one_bad_step,
    ("not finite", "more than 1 step in 100"): _many_bad_steps,
    ("checkpoints", "a file where their folder goes"): _no_folder,
    ("checkpoints", "a copy under another number"): _copied,
    ("checkpoints", "saving fails three times"): _cannot_save,
    ("loader", "hangs"): _hangs,
  }
  for (kind, fault), attempt in attempts.items():
    yield single(kind, fault, functools.partial(attempt, setting))
  locks = ("a second run", "deleted while the run is on")
  yield Attempt("lock", locks, functools.partial(_locks, setting))


def _one_bad_step(setting: Setting) -> None:
  workdir = setting.folder() / "run"
  ended = run(*setting.pretrain(workdir), fault=f"{_PUT}@3=NAN").must_end_with(0)
  must("step 3 was skipped" in ended.said, "nothing said")
  dump = json.loads((workdir / "nan_dump" / "step-3.json").read_text())
  must(bool(dump["spot_index"]), "no spots named")
  must(lines(workdir)[-1]["skipped"] == 1, "not counted")


def _many_bad_steps(setting: Setting) -> None:
  workdir = setting.folder() / "run"
  fault = ",".join(f"{_PUT}@{call}=NAN" for call in (3, 5, 7))
  ended = run(*setting.pretrain(workdir), fault=fault).must_end_with(NOT_FINITE)
  must("3 of the last 7 steps" in ended.last, ended.last)


def _locks(setting: Setting) -> Iterator[None]:
  workdir, first = _running(setting)
  second = run(*setting.pretrain(workdir, *_STEPS)).must_end_with(BUSY)
  must(f"process {first.pid} on" in second.said, "the first one is not named")
  yield
  (workdir / "lock").unlink()
  _until(lambda: (workdir / "lock").exists())
  first.send_signal(signal.SIGTERM)
  must("was deleted while the run was on" in first.ended().must_end_with(75).said, "nothing said")
  yield


def _no_folder(setting: Setting) -> None:
  workdir = setting.folder() / "run"
  workdir.mkdir()
  (workdir / "checkpoints").write_text("")
  ended = run(*setting.pretrain(workdir)).must_end_with(BAD_INPUT)
  must("compiling" not in ended.said, "only after compiling")


def _copied(setting: Setting) -> None:
  workdir = setting.folder() / "run"
  shutil.copytree(setting.reference, workdir)
  shutil.copytree(workdir / "checkpoints" / "8", workdir / "checkpoints" / "14")
  must(read_params(workdir)[1]["step"] == 12, "the copy is read")
  ended = run(*setting.pretrain(workdir)).must_end_with(0)
  must("a copy of 8 under another name" in ended.said, "nothing said")


def _read_beside(setting: Setting) -> None:
  """As fast as they can be read, while the run saves after every step and keeps one."""
  every = ("checkpoint_every=1", "keep_checkpoints=1", "num_steps=100000")
  workdir, first = _running(setting, *(f"--config.training.{key}" for key in every))
  steps = set()
  for _ in range(1000):
    steps.add(read_params(workdir)[1]["step"])
  must(first.poll() is None, "it did not train on")
  first.send_signal(signal.SIGTERM)
  first.ended().must_end_with(75)
  must(len(steps) > 10, f"only {len(steps)} checkpoints came by")


def _cannot_save(setting: Setting) -> None:
  workdir = setting.folder() / "run"
  fault = ",".join(f"hibio.training.intact:seal@{call}=ENOSPC" for call in (1, 2, 3))
  ended = run(*setting.pretrain(workdir), fault=fault).must_end_with(CANNOT_SAVE)
  must("Fix: free space" in ended.last, ended.last)
  run(*setting.pretrain(workdir)).must_end_with(0)
  setting.must_be_like_reference(workdir)


def _hangs(setting: Setting) -> None:
  workdir = setting.folder() / "run"
  patience = "--config.training.data_patience=3"
  fault = "hibio.pretraining:Batch@5=HANG"
  ended = run(*setting.pretrain(workdir, patience), fault=fault)
  must(ended.status == 78, f"ended with {ended.status}: {ended.last}")
  must("where every thread stands" in ended.said, "no stacks")
  run(*setting.pretrain(workdir, patience)).must_end_with(0)
  setting.must_be_like_reference(workdir)


def _running(setting: Setting, *more: str) -> tuple[Path, Command]:
  """A long run that has saved once."""
  workdir = setting.folder() / "run"
  process = Command(*setting.pretrain(workdir, *_STEPS, *more))
  _until(
    lambda: bool(list(workdir.glob("checkpoints/*/sha256.json"))) or process.poll() is not None
  )
  return workdir, process


def _until(happened: Callable[[], bool], seconds: float = TIMEOUT) -> None:
  ended = threading.Event()
  for _ in range(int(10 * seconds)):
    if happened():
      return
    ended.wait(0.1)
  must(False, "waited in vain")
