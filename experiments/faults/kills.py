"""kill -9 at points of training and preparation: begun again, all ends as without it.

What is begun again is killed again, a little further on, until it has been killed at every point.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.faults.row import Attempt, must
from experiments.faults.setting import Setting, run

TRAINING = (
  (  # until something is saved
    "hibio.training.workdir:claim@1",
    "hibio.training.workdir:claim+@1",
    "hibio.training.workdir:record_start@1",
    "hibio.training.state:create@1",
    "hibio.training.sharding:put_batch@1",
    "hibio.training.metrics:MetricsWriter.write@1",
    "hibio.training.sharding:put_batch@4",
    "hibio.training.checkpoints:Checkpoints.save@1",
    "hibio.training.checkpoints:Checkpoints.save+@1",
    "orbax.checkpoint:CheckpointManager.wait_until_finished+@2",
  ),
  (  # from the first checkpoint, of step 4, to the last file
    "hibio.training.intact:seal@1",
    "hibio.training.intact:seal+@1",
    "hibio.training.state:refreshed@1",
    "hibio.training.state:refreshed+@1",
    "hibio.pretraining:mean_of@1",
    "hibio.training.intact:seal@1",
    "hibio.training.intact:seal+@1",
    "hibio.training.intact:remove@1",
    "hibio.training.workdir:record+@1",
    "hibio.readout:save@1",
  ),
)

PREPARATION = (
  "data_pipelines.preparation.shards:write@1",
  "data_pipelines.preparation.shards:write+@1",
  "os:rename@1",
  "os:rename+@1",
  "data_pipelines.preparation.shards:write@2",
  "os:rename@2",
  "data_pipelines.genes:GenePanel.save@1",
  "data_pipelines.preparation.pipeline:write_tables@1",
  "os:replace@2",
  "data_pipelines.preparation.manifest:write@1",
)


def rows(setting: Setting) -> Iterator[Attempt]:
  for places in TRAINING:
    yield Attempt("kill -9 in training", places, functools.partial(_training, setting, places))
  work = functools.partial(_preparation, setting)
  yield Attempt("kill -9 in preparation", PREPARATION, work)


def _training(setting: Setting, places: Sequence[str]) -> Iterator[None]:
  workdir = setting.folder() / "run"
  command = setting.pretrain(workdir)
  for number, place in enumerate(places, 1):
    ended = run(*command, fault=f"{place}=SIGKILL").must_end_with(-signal.SIGKILL)
    must(number == 1 or "took over from process" in ended.said, "nothing said of the lock")
    if number == len(places):
      run(*command).must_end_with(0)
      setting.must_be_like_reference(workdir)
    yield


def _preparation(setting: Setting) -> Iterator[None]:
  corpus = (
    setting.root / "corpus-of-kills"
  )  # beside the other: from there images have the same path
  shutil.rmtree(corpus, ignore_errors=True)
  command = setting.prepare(corpus)
  for number, place in enumerate(PREPARATION, 1):
    run(*command, fault=f"{place}=SIGKILL").must_end_with(-signal.SIGKILL)
    if number == len(PREPARATION):
      run(*command).must_end_with(0)
      _must_be_alike(content(corpus), content(setting.corpus))
    yield


def _must_be_alike(mine: dict[str, str], theirs: dict[str, str]) -> None:
  must(mine.keys() == theirs.keys(), f"other files: {sorted(mine.keys() ^ theirs.keys())[:5]}")
  differ = [name for name in theirs if mine[name] != theirs[name]]
  must(not differ, f"other bytes in {differ[:5]}")


def content(corpus: Path) -> dict[str, str]:
  """File of a corpus -> digest; without what a later preparation need not do again."""
  return {
    str(path.relative_to(corpus)): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(corpus.rglob("*"))
    if path.is_file() and ".prepare" not in path.parts
  }
