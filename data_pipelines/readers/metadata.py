"""The optional table that says what no vendor's folder holds: donor, full-size image, labels."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from data_pipelines.genes import SPECIES
from data_pipelines.problems import BadInputError
from data_pipelines.text_files import decimals, read_table

COLUMNS = (
  "section", "donor", "image", "image_scale", "um_per_px", "labels", "positions", "species",
  "pitch_um", "platform", "layer", "library_key", "genome",
)  # fmt: skip
POSITIONS = ("spots", "warped", "swapped", "as_is")
_SAME = 0.05
"""By how much a length that is given may differ from a measured one without a word."""
NO_IMAGE = "none"
"""What stands for the name of an image where none is to be read."""
_RANGES = {
  "image_scale": (
    0.0, 100.0, "image pixels per pixel of the positions, e.g. 0.2876",
    "divide the image's width by the width of the image the positions were measured on",
  ),
  "um_per_px": (
    0.0, 1000.0, "micrometres a pixel of the positions, e.g. 0.5",
    "give the length of a pixel of the full-size image (1 where positions are micrometres)",
  ),
  "pitch_um": (1.0, 1000.0, "micrometres from 1 to 1000, e.g. 55", "correct it, or leave empty"),
}  # fmt: skip
"""Column of numbers -> the least and the largest, what it means, and how to find it."""


@dataclasses.dataclass(frozen=True)
class Words:
  """What is said on the command line, of every section of which the table does not say it.

  Attributes:
    um_per_px: micrometres a pixel of the positions.
    layer: matrix of raw counts in `.h5ad` files.
    library_key: column that names the sections of one table.
    image: H&E image of the only section.
    image_scale: its pixels per pixel of the positions.
    platform: what the data are of: a reader's name.
    pitch_um: side of the squares that bins, cells or transcripts are pooled to.
    positions: what is known of them, one of `POSITIONS`.
    genome: whose genes are kept, where a matrix holds those of two species.
    round_counts: whether counts that a correction left with fractions are rounded.

  Raises:
    BadInputError: a number out of range, or another word.
  """

  um_per_px: float | None = None
  layer: str | None = None
  library_key: str | None = None
  image: str | None = None
  image_scale: float | None = None
  platform: str | None = None
  pitch_um: float | None = None
  positions: str | None = None
  genome: str | None = None
  round_counts: bool | None = None

  def __post_init__(self):
    if self.positions not in (None, *POSITIONS):
      raise BadInputError(
        "--positions", "value", repr(self.positions), " or ".join(POSITIONS), "correct it"
      )
    for name in _RANGES:
      if getattr(self, name) is not None:
        _number(str(getattr(self, name)), name, f"--{name}", "value")

  def given(self) -> dict[str, str | float | bool]:
    """Those that are said."""
    return {name: value for name, value in vars(self).items() if value is not None}


@dataclasses.dataclass(frozen=True)
class Entry:
  """What the table says of one section; None where it says nothing.

  Attributes:
    table: the table it comes from, for messages; None without one.
    section: name of the section.
    donor: person or animal.
    image: H&E image; "none" to read none.
    image_scale: image pixels per pixel of the position file.
    um_per_px: micrometres per pixel of the position file; it wins over what files say.
    labels: table of an id column and label columns.
    positions: "spots"; "warped" for legacy ST positions registered to another section; "swapped"
      where x and y are exchanged; "as_is" where they are right, whatever it looks like.
    species: one of `genes.SPECIES`.
    pitch_um: side of the squares that bins, cells or transcripts are pooled to; None: as the
      platform's reader does by itself.
    platform: name of the reader, or what an `.h5ad` file holds the spots of.
    layer: matrix of raw counts of an `.h5ad` file.
    library_key: column that names the sections of one table.
    genome: a genome such as GRCh38, or a species, whose genes are kept where there are two.
    round_counts: whether counts that a correction left with fractions are rounded.
    folders: where relative paths are looked for, in this order.
  """

  table: Path | None = None
  section: str = ""
  donor: str | None = None
  image: str | None = None
  image_scale: float = 1.0
  um_per_px: float | None = None
  labels: str | None = None
  positions: str = "spots"
  species: str | None = None
  pitch_um: float | None = None
  platform: str | None = None
  layer: str | None = None
  library_key: str | None = None
  genome: str | None = None
  round_counts: bool | None = None
  folders: tuple[Path, ...] = ()

  def path_of(self, column: str) -> Path | None:
    """The file named in `column`, found beside the table or the section; None where none is named.

    Raises:
      BadInputError: no such file in any of the folders.
    """
    name = getattr(self, column)
    if name is None or (column == "image" and self.is_without_image):
      return None
    found = next((place for place in self._places(name) if place.is_file()), None)
    if found is None:
      raise BadInputError(
        self.table or name,
        f"{column} of section {self.section}",
        f"no file {name} (looked for {', '.join(map(str, self._places(name)))})",
        "a file, by a path from the table's or the section's folder",
        "correct the path in the table",
      )
    return found

  def image_or(self, own: Path | None) -> Path | None:
    """The image that is named, else the section's own; None where none is to be read.

    Raises:
      BadInputError: as `path_of`.
    """
    return None if self.is_without_image else self.path_of("image") or own

  def scale(self, by_platform: Callable[[], tuple[float, str]]) -> tuple[float, str]:
    """Micrometres per pixel of the positions, and where from: as said here, else by the platform.

    Raises:
      BadInputError: nothing is said here, and the platform's rule fails.
    """
    if self.um_per_px is None:
      return by_platform()
    try:
      found, how = by_platform()
    except BadInputError:
      return self.um_per_px, "given"
    against = "" if abs(self.um_per_px / found - 1) <= _SAME else "against "
    return self.um_per_px, f"given ({against}{found:.4g} by {how})"

  @property
  def is_without_image(self) -> bool:
    """Whether no image is to be read, whatever is there."""
    return self.image is not None and self.image.lower() == NO_IMAGE

  @property
  def has_its_image(self) -> bool:
    """Whether the image it names is there; True where it names none."""
    if self.image is None or self.is_without_image:
      return True
    return any(place.is_file() for place in self._places(self.image))

  def _places(self, name: str) -> list[Path]:
    names = dict.fromkeys((name, name.replace("\\", "/")))  # as Windows writes paths
    return [
      folder / Path(one).expanduser() for one in names for folder in dict.fromkeys(self.folders)
    ]


@dataclasses.dataclass(frozen=True)
class Metadata:
  """The rows of a metadata table by section; without a table, none.

  A section may have several rows that name different images: copies of a data set differ in which
  images they hold.
  """

  rows: Mapping[str, tuple[Entry, ...]] = dataclasses.field(default_factory=dict)
  words: Words = dataclasses.field(default_factory=Words)

  @classmethod
  def read(cls, path: Path, folder: Path, words: Words | None = None) -> Metadata:
    """From a file. Relative paths are looked for beside the table, then in `folder`.

    Raises:
      BadInputError: no column `section`, a misspelt column, a section twice, a value out of range.
    """
    table = read_table(path)
    table.columns = [str(name).strip().lower() for name in table.columns]
    _check_columns(list(table.columns), path)
    rows: dict[str, tuple[Entry, ...]] = {}
    for row in table[[c for c in COLUMNS if c in table]].to_dict("records"):
      row = {name: value.strip() for name, value in row.items() if value.strip()}
      if "section" not in row:
        continue
      entry = Entry(table=path, folders=(path.parent, folder), **_values(row, path))
      earlier = rows.get(entry.section, ())
      if {None, entry.image} & {e.image for e in earlier}:
        raise BadInputError(
          path,
          "section",
          f"{entry.section} twice",
          "each section once, or rows with different images (the first that is there counts)",
          "remove one of the rows",
        )
      rows[entry.section] = (*earlier, entry)
    return cls(rows, words or Words())

  def entry(self, name: str, *folders: Path, also: Sequence[str] = ()) -> Entry:
    """What the table says of a section: its first row whose image is there, or that names none.

    Args:
      name: the section's name as its platform writes it; the table may also hold its file name.
      folders: where the section lies; files are looked for there too.
      also: other names that the table may call it by; the entry's `section` is the one it does.
    """
    known = (self.rows.get(one) or self.rows.get(file_name(one)) for one in (name, *also))
    rows = next(filter(None, known), (Entry(section=file_name(name)),))
    rows = [dataclasses.replace(row, folders=(*row.folders, *folders)) for row in rows]
    return self._with_words(next((row for row in rows if row.has_its_image), rows[-1]))

  def _with_words(self, entry: Entry) -> Entry:
    """The entry with what the command line says where the table says nothing."""
    said = self.words.given()
    if entry.image is not None:  # its scale goes with it
      said = {name: value for name, value in said.items() if not name.startswith("image")}
    elif "image" in said:
      entry = dataclasses.replace(entry, folders=(Path.cwd(), *entry.folders))
    left = {name: v for name, v in said.items() if getattr(entry, name) in (None, 1.0, "spots")}
    return dataclasses.replace(entry, **left)


def file_name(name: str) -> str:
  """The name with everything that a file name should not hold replaced by "_".

  One of which nothing is left, as of names in other alphabets, becomes a number of its own.
  """
  kept = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:80]
  return kept or f"section_{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def _check_columns(names: list[str], path: Path) -> None:
  if "section" not in names:
    raise BadInputError(
      path,
      "column section",
      f"only {', '.join(names)}",
      ", ".join(COLUMNS),
      "add a column section with the names of the sections",
    )
  for name in names:
    near = difflib.get_close_matches(name, COLUMNS, n=1, cutoff=0.8)
    if name not in COLUMNS and near and near[0] not in names:
      raise BadInputError(
        path, f"column {name}", "an unknown column", near[0], f"rename it to {near[0]}"
      )


def _values(row: dict[str, str], path: Path) -> dict:
  where = f"of section {row['section']}"
  values: dict = dict(row)
  for name in _RANGES:
    if name in row:
      values[name] = _number(row[name], name, path, f"{name} {where}")
  if row.get("positions", "spots") not in POSITIONS:
    raise BadInputError(
      path, f"positions {where}", repr(row["positions"]), " or ".join(POSITIONS), "correct it"
    )
  if row.get("species", "human") not in SPECIES:
    raise BadInputError(
      path, f"species {where}", repr(row["species"]), f"one of {', '.join(sorted(SPECIES))}",
      "correct it, or leave empty",
    )  # fmt: skip
  return values


def _number(text: str, name: str, file: Path | str, field: str) -> float:
  least, most, expected, fix = _RANGES[name]
  try:
    value = float(text)
  except ValueError:
    value = 0.0
  if not (value > 0 and least <= value <= most):
    raise BadInputError(file, field, repr(text), expected, decimals(text) or fix)
  return value
