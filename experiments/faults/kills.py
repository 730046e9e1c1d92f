"""kill -9 at points of training and preparation: begun again, all ends as without it."""

from __future__ import annotations

import functools
import hashlib
import signal
from collections.abc import Iterator
from pathlib import Path

from experiments.faults.row import Attempt, must
from experiments.faults.setting import Setting, run

TRAINING = (
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
  "hibio.training.intact:seal@1",
  "hibio.training.intact:seal+@1",
  "hibio.pretraining:mean_of@1",
  "hibio.training.intact:seal@2",
  "hibio.training.state:refreshed@1",
  "hibio.training.state:refreshed+@1",
  "hibio.training.intact:remove@1",
  "hibio.training.intact:seal@3",
  "hibio.training.workdir:record+@3",
  "hibio.readout:save@1",
)
"""From the first file to the last one."""

PREPARATION = (
  "data_pipelines.preparation.shards:write@1",
  "data_pipelines.preparation.shards:write+@1",
  "os:rename@1",
  "os:rename@2",
  "data_pipelines.preparation.shards:write@3",
  "data_pipelines.genes:GenePanel.save@1",
  "data_pipelines.preparation.pipeline:write_tables@1",
  "data_pipelines.preparation.pipeline:write_tables+@1",
  "os:replace@2",
  "data_pipelines.preparation.manifest:write@1",
)


def rows(setting: Setting) -> Iterator[Attempt]:
  for place in TRAINING:
    yield Attempt("kill -9 in training", place, functools.partial(_training, setting, place))
  for place in PREPARATION:
    yield Attempt("kill -9 in preparation", place, functools.partial(_preparation, setting, place))


def _training(setting: Setting, place: str) -> None:
  workdir = setting.folder() / "run"
  command = setting.pretrain(workdir)
  run(*command, fault=f"{place}=SIGKILL").must_end_with(-signal.SIGKILL)
  run(*command).must_end_with(0)
  setting.must_be_like_reference(workdir)


def _preparation(setting: Setting, place: str) -> None:
  corpus = setting.folder() / "corpus"
  command = setting.prepare(corpus)
  run(*command, fault=f"{place}=SIGKILL").must_end_with(-signal.SIGKILL)
  run(*command).must_end_with(0)
  mine, theirs = content(corpus), content(setting.corpus)
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
