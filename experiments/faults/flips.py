"""Single bits of a checkpoint flipped: noticed, and the checkpoint before is taken."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from experiments.faults import corpus_flips
from experiments.faults.row import Attempt, must, single
from experiments.faults.setting import Setting, run
from hibio.training.checkpoints import read_params

CHECKPOINT, CORPUS = 50, 100


def rows(setting: Setting) -> Iterator[Attempt]:
  workdir = setting.folder() / "run"
  shutil.copytree(setting.reference, workdir)
  newest = max((workdir / "checkpoints").iterdir(), key=lambda path: int(path.name))
  paths = [path for path in sorted(newest.rglob("*")) if path.is_file() and path.stat().st_size]
  rng = np.random.default_rng(0)
  flips = []
  for number in range(CHECKPOINT):
    path = paths[number % len(paths)]
    flips.append(corpus_flips.Flip(path, int(rng.integers(8 * path.stat().st_size))))
  what = tuple(f"bit {flip.bit} of {flip.file.relative_to(newest)}" for flip in flips)
  work = functools.partial(_checkpoint, workdir, int(newest.name), flips)
  yield Attempt("bits of a checkpoint", what, work)
  yield single("a flipped bit, then on", "resume", functools.partial(_resume, setting))
  yield single("bits of a corpus", f"{CORPUS} bits", functools.partial(_corpus, setting))


def _checkpoint(workdir: Path, newest: int, flips: Sequence[corpus_flips.Flip]) -> Iterator[None]:
  for flip in flips:
    with corpus_flips.flipped(flip):
      must(read_params(workdir)[1]["step"] < newest, "not noticed")
    yield


def _resume(setting: Setting) -> None:
  """The largest file of the newest step, for good."""
  workdir = setting.folder() / "run"
  shutil.copytree(setting.reference, workdir)
  newest = max((workdir / "checkpoints").iterdir(), key=lambda path: int(path.name))
  largest = max((p for p in newest.rglob("*") if p.is_file()), key=lambda path: path.stat().st_size)
  content = bytearray(largest.read_bytes())
  content[len(content) // 2] ^= 1
  largest.write_bytes(content)
  ended = run(*setting.pretrain(workdir)).must_end_with(0)
  must(f"set aside as damaged-{newest.name}" in ended.said, "nothing said")
  setting.must_be_like_reference(workdir)


def _corpus(setting: Setting) -> None:
  corpus = setting.folder() / "corpus"
  shutil.copytree(setting.corpus, corpus)
  ended = run("experiments.faults.corpus_flips", f"--corpus={corpus}", f"--number={CORPUS}")
  ended.must_end_with(0)
