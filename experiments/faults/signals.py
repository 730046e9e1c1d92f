"""SIGTERM and SIGINT wherever they may come: out within half a minute, with status 75, saved."""

from __future__ import annotations

import functools
import socket
from collections.abc import Iterator, Sequence

from experiments.faults.row import Attempt, must, single
from experiments.faults.setting import (
  INTERRUPTED,
  Command,
  Ended,
  Setting,
  must_have_losses_of,
  run,
)
from hibio.training.workdir import read

SECONDS = 30

IN_TRAINING = (
  {
    "set-up": "hibio.training.state:create@1=SIGTERM",
    "set-up, in compiled code": "hibio.training.state:create@1=SIGTERM_BUSY",
    "compiling": "hibio.training.sharding:put_batch@1=SIGTERM_BUSY",
    "a step": "hibio.training.sharding:put_batch@3=SIGTERM",
    "a step, Ctrl-C": "hibio.training.sharding:put_batch@2=SIGINT",
    "a refresh, in compiled code": "hibio.training.state:refreshed@1=SIGTERM_BUSY",
    # Stops at the step of a look, which the next start makes.
    "a refresh of regions": "hibio.training.state:refreshed@1=SIGTERM",
    "looking at held-out donors": "hibio.pretraining:mean_of@1=SIGTERM",
  },
  {  # of step 4: steps go on meanwhile, and the next save waits for this one
    "a save": "hibio.training.intact:seal@1=SIGTERM",
    "held-out donors, in compiled code": "hibio.pretraining:mean_of@1=SIGTERM_BUSY",
  },
  {
    "a save, twice": "hibio.training.intact:seal@1=SIGTERM_TWICE",
    "the readout": "hibio.readout:save@1=SIGTERM",
    "the figures": "hibio.report.curves:draw@1=SIGTERM",
  },
)
"""Each is begun again and stopped again, until it has been stopped at every point."""


def rows(setting: Setting) -> Iterator[Attempt]:
  for stops in IN_TRAINING:
    what = tuple(f"training: {name}" for name in stops)
    yield Attempt("signals", what, functools.partial(_training, setting, tuple(stops.values())))
  others = {
    "synthetic": _synthetic,
    "preparation": _preparation,
    "evaluation": _evaluation,
    "embedding": _embedding,
    "one of two processes": _two_processes,
  }
  for what, attempt in others.items():
    yield single("signals", what, functools.partial(attempt, setting))


def _training(setting: Setting, faults: Sequence[str]) -> Iterator[None]:
  workdir = setting.folder() / "run"
  command = setting.pretrain(workdir)
  for number, fault in enumerate(faults, 1):
    _must_leave(run(*command, fault=fault))
    if number == len(faults):
      run(*command).must_end_with(0)
      setting.must_be_like_reference(workdir)
    yield


def _must_leave(ended: Ended) -> Ended:
  ended.must_end_with(INTERRUPTED)
  must(ended.seconds < SECONDS, f"took {ended.seconds:.0f} s")
  return ended


def _interrupted(setting: Setting, fault: str, *command: str) -> None:
  _must_leave(run(*command, fault=fault))


def _synthetic(setting: Setting) -> None:
  folder = setting.folder()
  command = ("data_pipelines.synthetic", "--preset=tiny", f"--output={folder / 'raw'}")
  _interrupted(setting, "data_pipelines.synthetic.writing:draw_section@2=SIGTERM", *command)
  run(*command).must_end_with(0)


def _preparation(setting: Setting) -> None:
  command = setting.prepare(setting.folder() / "corpus")
  _interrupted(setting, "data_pipelines.preparation.shards:write@2=SIGTERM", *command)
  run(*command).must_end_with(0)


def _evaluation(setting: Setting) -> None:
  output = setting.folder() / "evaluation"
  fault = "hibio.evaluation.suite:evaluate@1=SIGTERM"
  _interrupted(
    setting, fault, "experiments.evaluate", f"--checkpoint={setting.reference}",
    f"--corpus={setting.corpus}", f"--output={output}", "--tasks=contrast",
  )  # fmt: skip
  must(not output.exists(), "something was written")


def _embedding(setting: Setting) -> None:
  folder = setting.folder()
  fault = "hibio.export.files:write_sections@1=SIGTERM"
  _interrupted(
    setting, fault, "experiments.embed", f"--checkpoint={setting.reference}",
    f"--input={setting.raw}", f"--output={folder / 'out.h5ad'}",
  )  # fmt: skip
  must(not list(folder.iterdir()), "something was left")


def _two_processes(setting: Setting) -> None:
  """All stop after the same step; one process alone then goes on to the same end."""
  workdir = setting.folder() / "run"
  with socket.socket() as one:
    one.bind(("127.0.0.1", 0))
    port = one.getsockname()[1]
  command = (*setting.pretrain(workdir), f"--coordinator=127.0.0.1:{port}", "--num_processes=2")
  fault = "hibio.training.sharding:put_batch@5=SIGTERM"
  first = Command(*command, "--process_id=0")
  second = Command(*command, "--process_id=1", fault=fault)
  for process in (first, second):
    process.ended().must_end_with(INTERRUPTED)
  must(read(workdir)["history"][-1]["last_step"] == 5, "another step is saved")
  run(*setting.pretrain(workdir)).must_end_with(0)
  must_have_losses_of(setting.reference, workdir)
