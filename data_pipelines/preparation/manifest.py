"""The folder of a corpus: what `manifest.json` says that it holds, and who may write to it.

The manifest is written last; a corpus without one is not finished.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_pipelines.files import write_text
from data_pipelines.problems import BadInputError

Manifest = dict[str, Any]

FORMAT = "hibio-corpus"
FORMAT_VERSION = 1
FILE = "manifest.json"
PANEL = "panel.tsv"
SPOTS = "spots.parquet"
STATISTICS = "statistics.npz"
GENE_SETS = "gene_sets.npz"
FIRST_REGIONS = "regions/version-0000.npz"
WORK = ".prepare"
"""Folder of what is not finished, and of what a later run need not do again."""


def write(corpus: Path, manifest: Manifest) -> None:
  """Puts the manifest in place in one step."""
  write_text(corpus / FILE, json.dumps(manifest, indent=1, allow_nan=False) + "\n")


def read(corpus: Path) -> Manifest:
  """The manifest of a finished corpus of this format version.

  Raises:
    BadInputError: no folder, no manifest, no JSON, or another format or version.
  """
  path = corpus / FILE
  prepare = "prepare one: python -m data_pipelines.prepare --input=DIR --output=CORPUS"
  if not corpus.is_dir():
    raise BadInputError(corpus, "corpus", "no such folder", "a prepared corpus", prepare)
  if not path.is_file():
    if (corpus / WORK).is_dir():
      raise BadInputError(
        corpus,
        FILE,
        "an unfinished corpus",
        "a finished one",
        "run the same data_pipelines.prepare command again; finished sections are kept",
      )
    inside = ", ".join(sorted(entry.name for entry in corpus.iterdir())[:5]) or "nothing"
    raise BadInputError(corpus, FILE, f"a folder with {inside}", "a prepared corpus", prepare)
  try:
    manifest = json.loads(path.read_text(encoding="utf-8"))
  except (OSError, ValueError) as error:
    raise BadInputError(
      path,
      "JSON",
      f"not readable ({error})",
      "what data_pipelines.prepare wrote",
      "delete this file and run data_pipelines.prepare again",
    ) from error
  if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
    raise BadInputError(path, "format", "another kind of file", FORMAT, prepare)
  if manifest.get("version") != FORMAT_VERSION:
    raise BadInputError(
      path,
      "version",
      str(manifest.get("version")),
      str(FORMAT_VERSION),
      "prepare the corpus again into a new folder with this version of the code",
    )
  return manifest


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
      output,
      "--output",
      "a folder with other files",
      "a new or empty folder, or a corpus",
      "give another --output",
    )
  if (output / FILE).is_file():
    read(output)
  try:
    work.mkdir(parents=True, exist_ok=True)
    lock = (work / "lock").open("w")
  except OSError as error:
    raise BadInputError(
      output,
      "--output",
      f"not writable ({error.strerror})",
      "a folder that can be written to",
      "give another --output, or ask for the right to write there",
    ) from error
  with lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      raise BadInputError(
        output,
        "--output",
        "another prepare is writing to it",
        "one at a time",
        "wait until it has finished, or give another --output",
      ) from error
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
      output,
      "disk",
      f"no space left after {used / 1e6:,.0f} MB",
      "room for the whole corpus",
      "free some space and run the same command again; finished sections are kept",
    ) from error
