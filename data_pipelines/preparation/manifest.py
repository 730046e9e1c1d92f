"""`manifest.json`: what a corpus holds. Written last; a corpus without one is not finished."""

from __future__ import annotations

import json
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
    if (corpus / ".prepare").is_dir():
      raise BadInputError(
        corpus, FILE, "an unfinished corpus", "a finished one",
        "run the same data_pipelines.prepare command again; finished sections are kept",
      )  # fmt: skip
    inside = ", ".join(sorted(entry.name for entry in corpus.iterdir())[:5]) or "nothing"
    raise BadInputError(corpus, FILE, f"a folder with {inside}", "a prepared corpus", prepare)
  try:
    manifest = json.loads(path.read_text(encoding="utf-8"))
  except (OSError, ValueError) as error:
    raise BadInputError(
      path, "JSON", f"not readable ({error})", "what data_pipelines.prepare wrote",
      "delete this file and run data_pipelines.prepare again",
    ) from error  # fmt: skip
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
