"""The folder of a corpus: what `manifest.json` says that it holds, and who may write to it.

The manifest is written last; a corpus without one is not finished. Its "files" are all files of the
corpus with their SHA-256, and its last key is the SHA-256 of itself. The same input gives the same
bytes; what is known of this preparation alone lies in `WORK`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from data_pipelines import files
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
SUMMARY = "summary.md"
TABLES = (PANEL, SPOTS, STATISTICS, GENE_SETS, FIRST_REGIONS, SUMMARY)
"""What is of the whole corpus, made anew whenever anything has changed."""
WORK = ".prepare"
"""Folder of what is not finished, and of what a later run need not do again."""

AGAIN = "run the same data_pipelines.prepare command again: it makes anew what is damaged"

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,79}")
"""Names of sections and of features: they become names of files."""


class Damaged(BadInputError):
  """The manifest is not as it was written."""


def write(corpus: Path, manifest: Manifest) -> None:
  """Puts the manifest in place in one step."""
  files.write_bytes(corpus / FILE, files.sealed(manifest))


def read(corpus: Path) -> Manifest:
  """The manifest of a finished corpus of this format version.

  Raises:
    BadInputError: no folder, no manifest, another format or version, or names of files outside.
    Damaged: not a byte of it may have changed.
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
  manifest = _whole(path)
  if manifest.get("format") != FORMAT:
    raise BadInputError(path, "format", "another kind of file", FORMAT, prepare)
  if manifest.get("version") != FORMAT_VERSION:
    raise BadInputError(
      path,
      "version",
      str(manifest.get("version")),
      str(FORMAT_VERSION),
      "prepare the corpus again into a new folder with this version of the code",
    )
  _check_names(path, manifest)
  return manifest


def _whole(path: Path) -> Manifest:
  """What is written there, if it is as it was written, or has no seal and another version."""
  try:
    raw = path.read_bytes()
    with contextlib.suppress(ValueError):
      return files.unsealed(raw)
    content = json.loads(raw)
    problem = "a file that has changed since it was written"
    if isinstance(content, dict) and files.SEAL not in content:
      if (content.get("format"), content.get("version")) != (FORMAT, FORMAT_VERSION):
        return content
      problem = "no digest of itself"
  except (OSError, ValueError, RecursionError) as error:
    problem = f"not readable ({error})"
  raise Damaged(path, "content", problem, "what data_pipelines.prepare wrote", AGAIN)


_KEYS = {"files", "gene_sets", "panel", "patch", "sections", "splits", "window_spots"}
_SECTION_KEYS = {"donor_id", "has_image", "num_spots", "num_windows", "section_id", "split"}


def _check_names(path: Path, manifest: Manifest) -> None:
  """Refuses a manifest with holes, or that leads out of its folder."""
  try:
    for of, keys in [(manifest, _KEYS), *((one, _SECTION_KEYS) for one in manifest["sections"])]:
      if missing := sorted(keys - of.keys()):
        raise KeyError(missing[0])
    names = [*manifest["files"]]
    sections = [section["section_id"] for section in manifest["sections"]]
    bad = [name for name in sections if not NAME.fullmatch(name)]
    bad += [name for name in names if ".." in (of := PurePosixPath(name)).parts or of.is_absolute()]
  except (AttributeError, KeyError, TypeError) as error:
    raise Damaged(path, "content", f"no {error}", "a complete manifest", AGAIN) from error
  if bad:
    raise BadInputError(
      path, "name", repr(bad[0]), "names of files in this folder",
      "do not use this corpus, or prepare your own",
    )  # fmt: skip


def damage(corpus: Path, manifest: Manifest, below: str = "") -> Iterator[tuple[Path, str]]:
  """Files that are missing or have changed, and which of the two.

  Args:
    below: names of files begin so; by default all of them.
  """
  for name, digest in manifest["files"].items():
    if not name.startswith(below):
      continue
    path = corpus / name
    if not path.is_file():
      yield path, "no such file"
    elif not files.is_intact(path, digest):
      yield path, "a file that has changed since it was written"


def check(corpus: Path, manifest: Manifest, below: str = "") -> None:
  """Makes sure that files are as they were written.

  Args:
    below: as for `damage`; there must be such files.

  Raises:
    BadInputError: names the first that is not.
  """
  if not any(name.startswith(below) for name in manifest["files"]):
    raise BadInputError(corpus / FILE, "files", f"no {below}", "all files of the corpus", AGAIN)
  for path, what in damage(corpus, manifest, below):
    raise BadInputError(path, "content", what, "the file that the manifest lists", AGAIN)


@contextlib.contextmanager
def claimed(output: Path) -> Iterator[None]:
  """Makes sure that the folder is ours to write to, and that nobody else is writing.

  Raises:
    BadInputError: other files are there, a corpus of another version, or another process at work.
  """
  work, new = output / WORK, not output.exists()
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
    with contextlib.suppress(Damaged):
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
    for pattern in (".*.partial", "*/.*.partial", f"{WORK}/*/.*.partial"):
      for left in output.glob(pattern):  # of a process that was killed
        left.unlink(missing_ok=True)
    try:
      yield
    finally:
      if new and [path.name for path in output.rglob("*")] == [WORK, "lock"]:
        shutil.rmtree(output)  # nothing came of it
