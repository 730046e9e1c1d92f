"""Features of a frozen image encoder, kept beside a corpus, and as models read them.

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
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from data_pipelines.files import sha256, write_bytes, write_text
from data_pipelines.problems import BadInputError, nearest

FOLDER = "features"
ABOUT = "about.json"
NEIGHBOURS = 8
"""Spots whose mean a model reads beside a spot's own features: a ring on a square lattice."""

_VERSION = 1
_ALIKE = 1e-6
"""Distances that differ by less of their length are equal but for rounding."""

_LEAST_DEVIATION = 1e-6
"""A feature that varies less says nothing of a section; dividing by it would show rounding."""


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
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,79}", name):
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

  def begin(self, about: Mapping[str, Any], anew: bool = False) -> list[str]:
    """Readies the folder for features of this encoder.

    Args:
      anew: keep nothing.

    Returns:
      The sections whose features are there already; those of another encoder are let go.
    """
    kept = {}
    if not anew and (self.folder / ABOUT).is_file():
      old = self._read()
      if old["encoder"]["hash"] == about["hash"]:
        kept = {name: row for name, row in old["sections"].items() if self._is_whole(name, row)}
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
          self._file(name), "features", "a changed file, or those of another preparation",
          "features of this corpus as they were written",
        )  # fmt: skip
      values = np.load(self._file(name))
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
      and file.is_file()
      and sha256(file) == row["sha256"]
    )

  def _file(self, section_id: str) -> Path:
    return self.folder / f"{section_id}.npy"

  def _read(self) -> dict[str, Any]:
    try:
      found = json.loads((self.folder / ABOUT).read_text(encoding="utf-8"))
      if found["version"] == _VERSION and found["encoder"]["hash"] and found["encoder"]["width"]:
        return found
      problem = f"version {found['version']}"
    except (OSError, ValueError, KeyError, TypeError) as error:
      problem = f"not readable ({error})"
    raise self._wrong(
      self.folder / ABOUT, "content", problem, f"features of version {_VERSION}",
      f"delete {self.folder} and extract them again",
    )  # fmt: skip

  def _write(self, content: Mapping[str, Any]) -> None:
    write_text(self.folder / ABOUT, json.dumps(content, indent=1, allow_nan=False) + "\n")

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
      found = json.loads((corpus / FOLDER / name / ABOUT).read_text(encoding="utf-8"))
      if found["encoder"]["hash"] == hash:
        return name
  return ""


def model_input(
  values: Float[np.ndarray, "spot width"],
  known: Bool[np.ndarray, " spot"],
  positions_um: Float[np.ndarray, "spot 2"],
) -> Float[np.ndarray, "spot both"]:
  """What a model reads of one section: each spot's features, then the mean of its surroundings.

  Features are z-scored over the known spots of the section, which takes away what all of a slide
  shares, its stain above all. Behind them stands the mean of the z-scores of the `NEIGHBOURS`
  nearest other known spots, and of those that are as near. Rows are 0 where unknown.
  """
  out = np.zeros((len(values), 2 * values.shape[1]), np.float32)
  rows = np.flatnonzero(known)
  if not len(rows):
    return out
  own = values[rows].astype(np.float32)
  deviation = own.std(axis=0, dtype=np.float64)
  varies = deviation > _LEAST_DEVIATION
  own -= own.mean(axis=0, dtype=np.float64).astype(np.float32)
  own *= np.where(varies, 1.0 / np.where(varies, deviation, 1.0), 0.0).astype(np.float32)
  out[rows] = np.concatenate([own, _mean_of_neighbours(own, positions_um[rows])], axis=1)
  return out


def _mean_of_neighbours(
  values: Float[np.ndarray, "spot width"], positions_um: Float[np.ndarray, "spot 2"]
) -> Float[np.ndarray, "spot width"]:
  """Mean over the nearest other spots; 0 where there is no other.

  On a lattice many are equally far. All that are as near as the last of `NEIGHBOURS` count, up to
  twice as many: else it would be the order of the spots that chooses among them.
  """
  looked_at = range(1, min(2 * NEIGHBOURS + 1, len(values)) + 1)
  distance, near = cKDTree(positions_um).query(positions_um, k=looked_at)
  other = near != np.arange(len(values))[:, None]
  last = distance[:, min(NEIGHBOURS, len(looked_at) - 1), None]  # the first is the spot itself
  other &= distance <= last * (1 + _ALIKE)
  total = np.zeros_like(values)
  for column, counts in zip(near.T, other.T, strict=True):  # a neighbour at a time: memory
    total += values[column] * counts[:, None].astype(np.float32)
  return total / np.maximum(other.sum(axis=1, keepdims=True), 1).astype(np.float32)


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
