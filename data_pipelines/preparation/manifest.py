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


CHANGED = "a file that has changed since it was written"


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
    raise Damaged(path, "format", "another kind of file", FORMAT, prepare)
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


_EXAMPLE = {
  "files": {},
  "gene_sets": {},
  "panel": {"hash": "", "num_genes": 0},
  "patch": {"px": 1, "um": 1.0},
  "splits": {"train": [""], "validation": [""], "test": [""]},
  "window_spots": 1,
  "sections": [
    {
      "section_id": "", "donor_id": "", "split": "", "platform": "", "species": "", "content": "",
      "has_image": True, "num_spots": 1, "num_windows": 1, "num_measured": 0, "spot_offset": 0,
      "um_per_px": 1.0,
    }
  ],
}  # fmt: skip
"""What a manifest must hold."""


def _check_names(path: Path, manifest: Manifest) -> None:
  """Refuses a manifest with holes, or that leads out of its folder."""
  if place := files.unlike(manifest, _EXAMPLE, FILE):
    raise Damaged(path, "content", f"something else as {place}", "a complete manifest", AGAIN)
  names = [*manifest["files"]]
  bad = [one["section_id"] for one in manifest["sections"] if not NAME.fullmatch(one["section_id"])]
  bad += [name for name in names if ".." in (of := PurePosixPath(name)).parts or of.is_absolute()]
  thumbnails = (section.get("thumbnail") for section in manifest["sections"])
  bad += [one for one in thumbnails if one is not None and one not in names]
  if bad:
    raise BadInputError(
      path, "name", repr(bad[0]), "names of files in this folder",
      "do not use this corpus, or prepare your own",
    )  # fmt: skip


def damage(corpus: Path, manifest: Manifest, below: str = "") -> Iterator[tuple[Path, str]]:
  """Files that are missing, have changed or lie in the place of others, and which of these.

  Args:
    below: names of files begin so; by default all of them.
  """
  for name, digest in manifest["files"].items():
    if not name.startswith(below):
      continue
    path = corpus / name
    try:
      if not path.is_file():
        yield path, "no such file"
      elif (found := files.known_sha256(path)) != digest:
        other = next((name for name, one in manifest["files"].items() if one == found), None)
        yield path, CHANGED if other is None else f"what {other} should be"
    except OSError as error:
      yield path, f"no way to read it ({error.strerror or error})"


def check(corpus: Path, manifest: Manifest, below: str = "", *, in_parts: bool = False) -> None:
  """Makes sure that files are as they were written.

  Args:
    below: as for `damage`; there must be such files.
    in_parts: let files pass that have changed, as each part of them has a checksum of its own.

  Raises:
    BadInputError: names the first that is not.
  """
  if not any(name.startswith(below) for name in manifest["files"]):
    raise BadInputError(corpus / FILE, "files", f"no {below}", "all files of the corpus", AGAIN)
  for path, what in damage(corpus, manifest, below):
    if in_parts and what == CHANGED:
      continue
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
