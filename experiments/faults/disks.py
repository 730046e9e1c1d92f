"""A disk that is full: exit status 3 with the bytes that are needed, and nothing half written."""

from __future__ import annotations

import contextlib
import functools
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from experiments.faults.row import Attempt, Skip, must, single
from experiments.faults.setting import BAD_INPUT, CANNOT_SAVE, Setting, run


def rows(setting: Setting) -> Iterator[Attempt]:
  for what, attempt in {
    "too small for a checkpoint": _no_room,
    "full after the first checkpoint": _full_later,
    "embedding": _embedding,
    "evaluation": _evaluation,
    "preparation": _preparation,
  }.items():
    yield single("disk full", what, functools.partial(attempt, setting))


@contextlib.contextmanager
def disk(setting: Setting, kilobytes: int) -> Iterator[Path]:
  """A disk of that size.

  Raises:
    Skip: this user may not mount one.
  """
  place = setting.folder()
  command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)]
  mount = shutil.which("mount")
  if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
    raise Skip("no right to mount a small disk")
  try:
    yield place
  finally:
    subprocess.run(["umount", "-l", str(place)], check=False)


def _no_room(setting: Setting) -> None:
  with disk(setting, 256) as place:
    ended = run(*setting.pretrain(place / "run")).must_end_with(BAD_INPUT)
    must("bytes free, expected" in ended.last, ended.last)


def _full_later(setting: Setting) -> None:
  """It trains on, says so, and ends with the first checkpoint whole."""
  size = sum(p.stat().st_size for p in (setting.reference / "checkpoints" / "8").rglob("*"))
  with disk(setting, int(2.6 * size / 1024)) as place:
    command = setting.pretrain(place / "run", "--config.training.keep_checkpoints=5")
    ended = run(*command).must_end_with(CANNOT_SAVE)
    must("FAILED" in ended.said, "nothing said")
    must(not list(place.rglob("*.partial")), "something half written")
    moved = setting.folder() / "run"
    shutil.copytree(place / "run", moved)
  run(*setting.pretrain(moved, "--config.training.keep_checkpoints=5")).must_end_with(0)
  setting.must_be_like_reference(moved)


def _embedding(setting: Setting) -> None:
  with disk(setting, 64) as place:
    _must_leave_nothing(
      place, "experiments.embed", f"--checkpoint={setting.reference}",
      f"--input={setting.raw}", f"--output={place / 'out.h5ad'}",
    )  # fmt: skip


def _evaluation(setting: Setting) -> None:
  with disk(setting, 64) as place:
    _must_leave_nothing(
      place, "experiments.evaluate", f"--checkpoint={setting.reference}",
      f"--corpus={setting.corpus}", f"--output={place / 'evaluation'}", "--tasks=contrast",
    )  # fmt: skip


def _preparation(setting: Setting) -> None:
  with disk(setting, 512) as place:
    ended = run(*setting.prepare(place / "corpus")).must_end_with(BAD_INPUT)
    must("bytes" in ended.last, ended.last)
    must(not list(place.rglob("*.partial")), "something half written")


def _must_leave_nothing(place: Path, *command: str) -> None:
  ended = run(*command).must_end_with(BAD_INPUT)
  must("bytes" in ended.last, ended.last)
  left = [path for path in place.rglob("*") if path.is_file()]
  must(not left, f"left: {[path.name for path in left]}")
