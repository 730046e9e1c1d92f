"""The folder that a corpus is written to: whose it is, and what happens when it is full."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

from data_pipelines.preparation import manifest as manifests
from data_pipelines.preparation.section_folder import WORK
from data_pipelines.problems import BadInputError


@contextlib.contextmanager
def claimed(output: Path) -> Iterator[None]:
  """Makes sure that the folder is ours to write to, and that nobody else is writing.

  Raises:
    BadInputError: other files are there, a corpus of another version, or another process at work.
  """
  work = output / WORK
  if output.exists() and not output.is_dir():
    raise BadInputError(output, "--output", "a file", "a folder", "give another --output")
  if output.is_dir() and any(output.iterdir()) and not work.is_dir():
    raise BadInputError(
      output, "--output", "a folder with other files", "a new or empty folder, or a corpus",
      "give another --output",
    )  # fmt: skip
  if (output / manifests.FILE).is_file():
    manifests.read(output)
  try:
    work.mkdir(parents=True, exist_ok=True)
    lock = (work / "lock").open("w")
  except OSError as error:
    raise BadInputError(
      output, "--output", f"not writable ({error.strerror})", "a folder that can be written to",
      "give another --output, or ask for the right to write there",
    ) from error  # fmt: skip
  with lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      raise BadInputError(
        output, "--output", "another prepare is writing to it", "one at a time",
        "wait until it has finished, or give another --output",
      ) from error  # fmt: skip
    yield


@contextlib.contextmanager
def disk_full_explained(output: Path) -> Iterator[None]:
  """Clears half-written files and says what to do when the disk is full."""
  try:
    yield
  except OSError as error:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
      raise
    shutil.rmtree(output / WORK / "partial", ignore_errors=True)
    used = sum(f.stat().st_size for f in output.rglob("*") if f.is_file())
    raise BadInputError(
      output, "disk", f"no space left after {used / 1e6:,.0f} MB", "room for the whole corpus",
      "free some space and run the same command again; finished sections are kept",
    ) from error  # fmt: skip
