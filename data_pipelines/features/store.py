"""Features of a frozen image encoder, kept beside a corpus.

CORPUS/features/NAME/about.json    the encoder, and what the features of each section belong to
CORPUS/features/NAME/SECTION.npy   one row a spot, in the order of the corpus; NaN where unknown
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from data_pipelines.files import (
  is_intact,
  sampled_sha256,
  sealed,
  unlike,
  unsealed,
  write_bytes,
)
from data_pipelines.preparation import section_image
from data_pipelines.preparation.manifest import NAME
from data_pipelines.problems import BadInputError, nearest

FOLDER = "features"
ABOUT = "about.json"
_VERSION = 1
_EXAMPLE = {"version": 0, "encoder": {"name": "", "hash": "", "width": 1}, "sections": {}}
_ROW = {"stamp": "", "sha256": "", "known": 0}


@dataclasses.dataclass(frozen=True)
class Features:
  """What an encoder said of every spot of a corpus.

  Attributes:
    name: of the folder they lie in.
    about: the encoder's own words: "name", "hash", "licence", "views", "width", "blocks".
    values: as extracted; 0 where unknown.
    known: False where the encoder saw nothing, e.g. in sections without an image.
  """

  name: str
  about: Mapping[str, Any]
  values: Float[np.ndarray, "corpus_spot width"]
  known: Bool[np.ndarray, " corpus_spot"]

  @classmethod
  def none(cls, about: Mapping[str, Any], num_spots: int) -> Features:
    """Those of a corpus without a single image: a model of features then reads counts alone."""
    nothing = np.zeros((num_spots, about["width"]), np.float32)
    return cls(about["name"], about, nothing, np.zeros(num_spots, bool))


class Store:
  """The folder of one set of features, section by section; what is finished is kept.

  Args:
    corpus: folder of the corpus.
    name: of the features.
    sections: the manifest's entries.
    spots: the corpus' table of spots.
  """

  def __init__(
    self, corpus: Path, name: str, sections: list[Mapping[str, Any]], spots: pd.DataFrame
  ):
    if not NAME.fullmatch(name):
      raise BadInputError(
        "features", "name", repr(name), "letters, digits, '.', '_' and '-', at most 80", "rename"
      )
    self.name, self.folder = name, corpus / FOLDER / name
    self._corpus, self._sections = corpus, {s["section_id"]: s for s in sections}
    self._stamps = _stamps(sections, spots)

  @contextlib.contextmanager
  def claimed(self) -> Iterator[None]:
    """One process writes at a time; another one waits, and then finds what was written.

    Raises:
      BadInputError: the corpus cannot be written to.
    """
    try:
      self.folder.mkdir(parents=True, exist_ok=True)
      lock = (self.folder / ".lock").open("w")
    except OSError as error:
      raise BadInputError(
        self.folder, "features", f"not writable ({error.strerror})",
        "a corpus that can be written to", "ask for the right to write there, or copy the corpus",
      ) from error  # fmt: skip
    with lock:
      fcntl.flock(lock, fcntl.LOCK_EX)
      yield

  @property
  def encoder(self) -> dict[str, Any] | None:
    """What the encoder says of itself whose features lie here; None where none do."""
    return self._read()["encoder"] if (self.folder / ABOUT).is_file() else None

  def begin(self, about: Mapping[str, Any], anew: bool = False) -> list[str]:
    """Readies the folder for features of this encoder.

    Args:
      anew: keep nothing.

    Returns:
      The sections whose features are there already; those of another encoder are let go.
    """
    kept = {}
    if not anew and (old := self.encoder) is not None and old["hash"] == about["hash"]:
      sections = self._read()["sections"]
      kept = {name: row for name, row in sections.items() if self._is_whole(name, row)}
    self._write({"version": _VERSION, "encoder": dict(about), "sections": kept})
    return list(kept)

  def is_complete(self) -> bool:
    """Whether the features of every section with an image are there."""
    if not (self.folder / ABOUT).is_file():
      return False
    rows = self._read()["sections"]
    wanted = [name for name, section in self._sections.items() if section["has_image"]]
    return all(name in rows and self._is_whole(name, rows[name]) for name in wanted)

  def put(self, section_id: str, values: Float[np.ndarray, "spot width"]) -> None:
    """Writes the features of a section; rows that are not finite are unknown."""
    known = np.isfinite(values).all(axis=1)
    buffer = io.BytesIO()
    np.save(buffer, np.where(known[:, None], values, np.nan).astype(np.float32))
    write_bytes(self._file(section_id), buffer.getvalue())
    found = self._read()
    found["sections"][section_id] = {
      "stamp": self._stamps[section_id],
      "slide": self._slide(section_id),
      "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
      "known": int(known.sum()),
    }
    self._write(found)

  def read(self) -> Features:
    """All of them, in the order of the corpus.

    Raises:
      BadInputError: no such features, not of every section with an image, or damaged or foreign
        files.
    """
    if not (self.folder / ABOUT).is_file():
      raise self._missing()
    found = self._read()
    about, width = found["encoder"], found["encoder"]["width"]
    parts = []
    for name, section in self._sections.items():
      row = found["sections"].get(name)
      if row is None and section["has_image"]:
        raise self._wrong(self.folder, f"section {name}", "no features", "those of every image")
      if row is None:
        parts.append(np.full((section["num_spots"], width), np.nan, np.float32))
        continue
      if not self._is_whole(name, row):
        raise self._wrong(
          self._file(name), "features",
          "a changed file, or those of another preparation or of another slide",
          "features of this corpus as they were written",
        )  # fmt: skip
      try:
        values = np.load(self._file(name), mmap_mode="r")  # what it declares is not in memory yet
      except (OSError, ValueError) as error:
        raise self._wrong(self._file(name), "content", str(error), "an array") from error
      if values.shape != (section["num_spots"], width):
        raise self._wrong(
          self._file(name), "shape", str(values.shape), str((section["num_spots"], width))
        )
      parts.append(values)
    values = np.concatenate(parts)
    known = np.isfinite(values).all(axis=1)
    return Features(self.name, about, np.where(known[:, None], values, np.float32(0.0)), known)

  def _is_whole(self, section_id: str, row: Mapping[str, Any]) -> bool:
    """Whether a section's features are of this corpus, and as they were written."""
    file = self._file(section_id)
    return (
      row["stamp"] == self._stamps.get(section_id)
      and (row.get("slide") is None or self._slide(section_id) in (None, row["slide"]))
      and file.is_file()
      and is_intact(file, row["sha256"])
    )

  def _slide(self, section_id: str) -> str | None:
    """16 digits that change with the file of a section's image; None where it does not lie here."""
    entry = self._sections[section_id].get("image")
    file = section_image.place(entry, self._corpus) if entry else None
    return sampled_sha256(file)[:16] if file and file.is_file() else None

  def _file(self, section_id: str) -> Path:
    return self.folder / f"{section_id}.npy"

  def _read(self) -> dict[str, Any]:
    try:
      found = unsealed((self.folder / ABOUT).read_bytes())
      place = unlike(found, _EXAMPLE, ABOUT)
      rows = found["sections"].values() if not place else ()
      place = place or next(filter(None, (unlike(row, _ROW, "sections") for row in rows)), "")
      if not place and found["version"] == _VERSION:
        return found
      problem = f"something else as {place}" if place else f"version {found['version']}"
    except (OSError, ValueError, KeyError, TypeError) as error:
      problem = f"not readable ({error})"
    raise self._wrong(
      self.folder / ABOUT, "content", problem, f"features of version {_VERSION}",
      f"delete {self.folder} and extract them again",
    )  # fmt: skip

  def _write(self, content: Mapping[str, Any]) -> None:
    write_bytes(self.folder / ABOUT, sealed(content))

  def _missing(self) -> BadInputError:
    there = names(self._corpus)
    near = nearest(self.name, there)
    return BadInputError(
      self._corpus, f"features {self.name}", f"only {', '.join(there)}" if there else "none",
      "features of this name",
      (f"did you mean {near}? Else " if near else "") + self._command(),
    )  # fmt: skip

  def _wrong(
    self, file: Path, field: str, found: str, expected: str, fix: str = ""
  ) -> BadInputError:
    return BadInputError(file, field, found, expected, fix or self._command())

  def _command(self) -> str:
    return (
      f"python -m experiments.extract --corpus={self._corpus} --encoder={self.name};"
      " finished sections are kept"
    )


def names(corpus: Path) -> list[str]:
  """Names of the features that lie beside a corpus."""
  return sorted(file.parent.name for file in (corpus / FOLDER).glob(f"*/{ABOUT}"))


def of_encoder(corpus: Path, hash: str) -> str:
  """Name of the features beside a corpus that an encoder of this hash extracted; empty if none."""
  for name in names(corpus):
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
      found = unsealed((corpus / FOLDER / name / ABOUT).read_bytes())
      if found["encoder"]["hash"] == hash:
        return name
  return ""


def _stamps(sections: list[Mapping[str, Any]], spots: pd.DataFrame) -> dict[str, str]:
  """Section -> 16 digits that change with its counts, its spots, their places or its image."""
  stamps = {}
  for name, own in spots.groupby("section_id", sort=False):
    section = next(one for one in sections if one["section_id"] == name)
    image = {key: value for key, value in (section.get("image") or {}).items() if key != "path"}
    digest = hashlib.sha256(json.dumps([section["content"], image], sort_keys=True).encode())
    digest.update("\n".join(own["spot_id"].astype(str)).encode())
    digest.update(own[["x_um", "y_um"]].to_numpy(np.float64).tobytes())
    stamps[name] = digest.hexdigest()[:16]
  return stamps
