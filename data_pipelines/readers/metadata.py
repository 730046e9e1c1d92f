"""The optional table that says what no vendor's folder holds: donor, full-size image, labels."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Mapping
from pathlib import Path

from data_pipelines.problems import BadInputError
from data_pipelines.text_files import as_numbers, read_table

COLUMNS = ("section", "donor", "image", "image_scale", "labels", "positions", "species", "pitch_um")
POSITIONS = ("spots", "warped")


@dataclasses.dataclass(frozen=True)
class Entry:
  """What the table says of one section; None where it says nothing.

  Attributes:
    table: the table it comes from, for messages; None without one.
    section: name of the section.
    donor: person or animal.
    image: H&E image.
    image_scale: image pixels per pixel of the position file.
    labels: table of an id column and label columns.
    positions: "spots", or "warped" for legacy ST positions registered to another section.
    species: "human" or "mouse".
    pitch_um: side of the squares that bins, cells or transcripts are pooled to; None: as the
      platform's reader does by itself.
    folders: where relative paths are looked for, in this order.
  """

  table: Path | None = None
  section: str = ""
  donor: str | None = None
  image: str | None = None
  image_scale: float = 1.0
  labels: str | None = None
  positions: str = "spots"
  species: str | None = None
  pitch_um: float | None = None
  folders: tuple[Path, ...] = ()

  def path_of(self, column: str) -> Path | None:
    """The file named in `column`, found beside the table or the section; None where none is named.

    Raises:
      BadInputError: no such file in any of the folders.
    """
    name = getattr(self, column)
    if name is None:
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

  @property
  def has_its_image(self) -> bool:
    """Whether the image it names is there; True where it names none."""
    return self.image is None or any(place.is_file() for place in self._places(self.image))

  def _places(self, name: str) -> list[Path]:
    return list(dict.fromkeys(folder / Path(name).expanduser() for folder in self.folders))


@dataclasses.dataclass(frozen=True)
class Metadata:
  """The rows of a metadata table by section; without a table, none.

  A section may have several rows that name different images: copies of a data set differ in which
  images they hold.
  """

  rows: Mapping[str, tuple[Entry, ...]] = dataclasses.field(default_factory=dict)

  @classmethod
  def read(cls, path: Path, folder: Path) -> Metadata:
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
    return cls(rows)

  def entry(self, name: str, *folders: Path) -> Entry:
    """What the table says of a section: its first row whose image is there, or that names none.

    Args:
      name: the section's name as its platform writes it; the table may also hold its file name.
      folders: where the section lies; files are looked for there too.
    """
    rows = self.rows.get(name) or self.rows.get(file_name(name))
    rows = rows or (Entry(section=file_name(name)),)
    rows = [dataclasses.replace(row, folders=(*row.folders, *folders)) for row in rows]
    return next((row for row in rows if row.has_its_image), rows[-1])


def file_name(name: str) -> str:
  """The name with everything that a file name should not hold replaced by "_"."""
  return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:80] or "section"


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
  if "image_scale" in row:
    try:
      values["image_scale"] = float(row["image_scale"])
    except ValueError:
      values["image_scale"] = -1.0
    if not 0 < values["image_scale"] <= 100:
      raise BadInputError(
        path,
        f"image_scale {where}",
        repr(row["image_scale"]),
        "image pixels per pixel of the positions, e.g. 0.2876",
        "divide the image's width by the width of the image the positions were measured on",
      )
  if "pitch_um" in row:
    values["pitch_um"] = as_numbers([row["pitch_um"]])[0].item()
    if not 1 <= values["pitch_um"] <= 1000:
      raise BadInputError(
        path,
        f"pitch_um {where}",
        repr(row["pitch_um"]),
        "micrometres from 1 to 1000, e.g. 55",
        "correct it, or leave empty",
      )
  if row.get("positions", "spots") not in POSITIONS:
    raise BadInputError(
      path, f"positions {where}", repr(row["positions"]), " or ".join(POSITIONS), "correct it"
    )
  if row.get("species", "human") not in ("human", "mouse"):
    raise BadInputError(
      path, f"species {where}", repr(row["species"]), "human or mouse", "correct it, or leave empty"
    )
  return values
