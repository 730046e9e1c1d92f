"""Which file of a folder of legacy arrays is what: in folders by kind, or all beside each other.

Files that lie beside each other are told apart by words in their names (`stdata`, `spots`,
`Coords`, ...); those of one section have all other words in common.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from data_pipelines.files import visible
from data_pipelines.problems import BadInputError
from data_pipelines.text_files import read_table

COUNTS = ("counts", "ST-cnts", "count-matrices", "count_matrices")
SPOTS = ("spots", "ST-spotfiles", "spot-selections", "spot-selection", "spot_selections")
_IMAGES = ("images/HE", "images", "ST-imgs")
_LABELS, _CLUSTERS = ("pathologist", "meta", "ST-pat/lbl"), ("clusters",)
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
_TABLE = r"\.(?:tsv|csv|txt)(?:\.gz)?"
_COUNTS_NAME = re.compile(rf"(.+?)(?:_stdata)?{_TABLE}")

_FLAT = {
  "counts": re.compile(rf".+_stdata{_TABLE}", re.IGNORECASE),
  "spots": re.compile(rf".*(spots|spot_data-selection|_selection).*{_TABLE}", re.IGNORECASE),
  "labels": re.compile(rf".*_coords{_TABLE}", re.IGNORECASE),
  "image": re.compile(r".*\.(jpe?g|png|tiff?)(\.gz)?", re.IGNORECASE),
}
"""What files beside each other are, by their names; the first that fits."""
_PLAIN_COUNTS = re.compile(r"(.+)\.tsv(\.gz)?")
_KIND_WORDS = frozenset(
  [
    "stdata",
    "spots",
    "spot",
    "data",
    "selection",
    "coords",
    "he",
    "tsv",
    "csv",
    "txt",
    "gz",
    "jpg",
    "jpeg",
    "png",
    "tif",
    "tiff",
  ]
)
_REPLICATE = re.compile(r"^GSM\d+_|[_-](rep\d+|[A-Z]\d{1,2})$")
_OWN_TABLE = ("count_matrix", "spot_coordinates", "patient")
"""Columns of the table that comes with STNet's data."""


@dataclasses.dataclass(frozen=True)
class Layout:
  """The files of one section; None where there is none.

  Attributes:
    donor: who it is of, as the files say; empty where they do not.
  """

  name: str
  folder: Path
  counts: Path
  spots: Path | None
  image: Path | None
  labels: Path | None
  clusters: Path | None
  donor: str = ""

  def files(self) -> tuple[Path, ...]:
    """Every file the section is read from."""
    parts = (self.counts, self.spots, self.image, self.labels, self.clusters)
    return tuple(part for part in parts if part is not None)


def layouts_of(folder: Path) -> list[Layout]:
  """The sections of a folder; none where it holds no legacy arrays.

  Raises:
    BadInputError: several files are one section's.
  """
  if not folder.is_dir():
    return []
  counts, spots = folder_of(folder, COUNTS), folder_of(folder, SPOTS)
  return _by_kind(folder, counts, spots) if counts and spots else _flat(folder)


def is_own_table(path: Path) -> bool:
  """Whether a table is not the user's but came with STNet's data."""
  columns = read_table(path).columns
  return all(name in columns for name in _OWN_TABLE)


def folder_of(folder: Path, names: tuple[str, ...]) -> Path | None:
  """The first of these folders that is there."""
  return next((folder / name for name in names if (folder / name).is_dir()), None)


def _by_kind(folder: Path, counts: Path, spots: Path) -> list[Layout]:
  layouts = []
  for path in visible(counts):
    named = _COUNTS_NAME.fullmatch(path.name)
    if named is None or path.name.startswith("."):
      continue
    name = named[1]
    layouts.append(
      Layout(
        name=name,
        folder=folder,
        counts=path,
        spots=_named(spots, name),
        image=_image_of(folder_of(folder, _IMAGES), name),
        labels=_named(folder_of(folder, _LABELS), name),
        clusters=_named(folder_of(folder, _CLUSTERS), name),
      )
    )
  return layouts


def _flat(folder: Path) -> list[Layout]:
  """Sections whose files lie beside each other, where at least one has counts and positions."""
  kinds: dict[str, dict[frozenset, Path]] = {kind: {} for kind in _FLAT}
  files = visible(folder)
  for path in files:
    kind = next((kind for kind, name in _FLAT.items() if name.fullmatch(path.name)), None)
    if kind:
      kinds[kind].setdefault(_words(path.name), path)
  if any(path.name.endswith(".spots.txt") for path in files):
    plain = (p for p in files if _PLAIN_COUNTS.fullmatch(p.name))
    for path in plain:
      if _words(path.name) in kinds["spots"] and path not in kinds["labels"].values():
        kinds["counts"].setdefault(_words(path.name), path)
  if not kinds["counts"].keys() & kinds["spots"].keys():
    return []
  patients = _patients(folder / "metadata.csv")
  return [
    Layout(
      name=(name := re.sub(rf"(_stdata)?{_TABLE}$", "", path.name, flags=re.IGNORECASE)),
      folder=folder,
      counts=path,
      spots=kinds["spots"].get(words),
      image=kinds["image"].get(words),
      labels=kinds["labels"].get(words),
      clusters=None,
      donor=patients.get(path.name) or _REPLICATE.sub("", name),
    )
    for words, path in kinds["counts"].items()
  ]


def _words(name: str) -> frozenset[str]:
  """The words of a file's name that say which section it is of."""
  words = re.split(r"[^a-z0-9]+", name.lower())
  # STNet calls the same patient BC1 and BT1.
  words = (re.sub(r"^bt(?=\d)", "bc", word) for word in words)
  return frozenset(words) - _KIND_WORDS - {""}


def _patients(table: Path) -> dict[str, str]:
  """File of counts -> patient, by the table that comes with STNet's data."""
  if not table.is_file() or not is_own_table(table):
    return {}
  rows = read_table(table)
  return dict(zip(rows["count_matrix"], rows["patient"], strict=True))


def _named(folder: Path | None, name: str) -> Path | None:
  """The only file with the section's name as a word of its own."""
  if folder is None:
    return None
  pattern = re.compile(rf"(.*[^A-Za-z0-9])?{re.escape(name)}([^A-Za-z0-9].*)?")
  files = [p for p in visible(folder) if p.is_file()]
  matches = [p for p in files if pattern.fullmatch(p.name.partition(".")[0])]
  exact = [p for p in matches if p.name.partition(".")[0] in (name, f"{name}_selection")]
  if len(matches) > 1 and len(exact) != 1:
    raise BadInputError(
      folder,
      f"section {name}",
      f"{len(matches)} files ({', '.join(p.name for p in matches[:3])})",
      "one file a section",
      "leave the one that belongs to the counts",
    )
  return (exact or matches or [None])[0]


def _image_of(folder: Path | None, name: str) -> Path | None:
  """An image named exactly as the section: any other name may mean another scale."""
  if folder is None:
    return None
  if found := [path for path in _images(folder) if _bare(path) == name]:
    return found[0]
  for nested in (folder / name, folder / name[0] / name):
    if nested.is_dir() and len(images := _images(nested)) == 1:
      return images[0]
  return None


def _images(folder: Path) -> list[Path]:
  endings = (*_IMAGE_SUFFIXES, *(f"{suffix}.gz" for suffix in _IMAGE_SUFFIXES))
  return [p for p in visible(folder) if p.name.lower().endswith(endings)]


def _bare(path: Path) -> str:
  return re.sub(r"\.(jpe?g|png|tiff?)(\.gz)?$", "", path.name, flags=re.IGNORECASE)
