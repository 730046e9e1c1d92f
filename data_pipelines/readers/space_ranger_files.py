"""Which file of a Space Ranger folder is what, and the positions in it, whatever its version."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pandas as pd

from data_pipelines.problems import BadInputError
from data_pipelines.readers.assembly import Positions
from data_pipelines.readers.metadata import Entry
from data_pipelines.text_files import read_numbers, read_text

POSITION_FILES = ("tissue_positions.parquet", "tissue_positions.csv", "tissue_positions_list.csv")
POSITION_COLUMNS = (
  "barcode",
  "in_tissue",
  "array_row",
  "array_col",
  "pxl_row_in_fullres",
  "pxl_col_in_fullres",
)


@dataclasses.dataclass(frozen=True)
class Layout:
  """Which file of a folder is what; None where there is none."""

  folder: Path
  h5: Path | None
  matrix_market: Path | None
  filtered: bool
  positions: Path | None
  scalefactors: Path | None
  hires: Path | None
  lowres: Path | None
  packed: Path | None

  def files(self) -> tuple[Path, ...]:
    """Every file the section is read from."""
    matrix = sorted(self.matrix_market.iterdir()) if self.matrix_market and not self.h5 else []
    parts = (self.h5, self.positions, self.scalefactors, self.hires or self.lowres, *matrix)
    return tuple(part for part in parts if part is not None)

  @property
  def is_likely(self) -> bool:
    """Whether there is enough of a Space Ranger output for it to be one."""
    counts = bool(self.h5 or self.matrix_market)
    evidence = [self.positions is not None, counts, self.scalefactors is not None]
    inside = any(evidence) and (self.folder / "spatial").is_dir()
    return sum(evidence) >= 2 or inside or (counts and self.packed is not None)


def layout_of(folder: Path) -> Layout | None:
  """The layout of a Space Ranger output folder; None if it does not look like one.

  Raises:
    BadInputError: it holds the files of several sections.
  """
  layout = layout_in(folder)
  return layout if layout.is_likely else None


def layout_in(folder: Path) -> Layout:
  """Which file of a folder is what, whether or not it looks like Space Ranger's."""
  spatial = folder / "spatial"
  place = spatial if spatial.is_dir() else folder
  for kind in ("filtered", "raw"):
    h5 = first(folder, f"{kind}_feature_bc_matrix.h5")
    matrix_market = first(folder, f"{kind}_feature_bc_matrix", directory=True)
    if h5 or matrix_market:
      break
  return Layout(
    folder=folder,
    h5=h5,
    matrix_market=matrix_market,
    filtered=kind == "filtered",
    positions=first(place, *POSITION_FILES, *(f"{name}.gz" for name in POSITION_FILES)),
    scalefactors=first(place, "scalefactors_json.json"),
    hires=first(place, "tissue_hires_image.png", "tissue_hires_image.jpg"),
    lowres=first(place, "tissue_lowres_image.png", "tissue_lowres_image.jpg"),
    packed=first(folder, "spatial.tar.gz", "spatial.zip", "spatial.tar"),
  )


def read_positions(path: Path) -> Positions:
  """The positions file of any version, with a header or without one.

  Raises:
    BadInputError: not six columns, values that are not numbers, `in_tissue` other than 0 and 1, a
      barcode twice.
  """
  if path.suffix == ".parquet":
    try:
      table = pd.read_parquet(path).astype(str)
    except Exception as error:  # pyarrow raises its own kinds
      raise BadInputError(
        path, "parquet", f"not readable ({error})", "a parquet table", "copy the file again"
      ) from error
  else:
    table = _position_rows(path)
  if absent := [name for name in POSITION_COLUMNS if name not in table]:
    raise BadInputError(
      path,
      "header",
      ", ".join(map(str, table.columns)),
      ", ".join(POSITION_COLUMNS),
      f"add or rename {absent[0]}",
    )
  on_tissue = table["in_tissue"].str.strip().str.lower()
  on_tissue = on_tissue.replace({"true": "1", "false": "0", "1.0": "1", "0.0": "0"})
  if not on_tissue.isin(("0", "1")).all():
    wrong = table["in_tissue"][~on_tissue.isin(("0", "1"))].iloc[0]
    raise BadInputError(path, "column in_tissue", repr(wrong), "0 or 1", "correct the column")
  numbers = read_numbers(table, list(POSITION_COLUMNS[2:]), path)
  return Positions(
    path=path,
    ids=table["barcode"].to_numpy(str),
    rows=numbers["array_row"].to_numpy(),
    columns=numbers["array_col"].to_numpy(),
    positions_px=numbers[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(),
    on_tissue=(on_tissue == "1").to_numpy(),
  )


def _position_rows(path: Path) -> pd.DataFrame:
  rows = [line.replace('"', "").split(",") for line in read_text(path).split("\n") if line.strip()]
  bad = next((n for n, row in enumerate(rows, 1) if len(row) != 6), None)
  if bad is not None:
    raise BadInputError(
      path,
      f"line {bad}",
      f"{','.join(rows[bad - 1])[:60]!r}",
      "six columns separated by commas",
      "give the file as Space Ranger wrote it",
    )
  # The name of the file says nothing: both names exist with and without a header.
  header = not re.fullmatch(r"\s*(-?[\d.]+|true|false)\s*", rows[0][1], re.IGNORECASE)
  names = [name.strip() for name in rows[0]] if header else list(POSITION_COLUMNS)
  if len(set(names)) < len(names):
    raise BadInputError(path, "header", ", ".join(names), ", ".join(POSITION_COLUMNS), "rename")
  return pd.DataFrame(rows[1:] if header else rows, columns=names, dtype=str)


def label_candidates(folder: Path, entry: Entry) -> list[Path]:
  """Tables of two columns, the first of barcodes, beside the counts."""
  if entry.labels is not None:
    return []
  places = [folder, folder.parent] if folder.name == "outs" else [folder]
  candidates = []
  for path in sorted(p for place in places for e in ("*.tsv", "*.csv") for p in place.glob(e)):
    with path.open("rb") as stream:
      header = stream.readline(400).decode("utf-8-sig", "replace").strip()
    cells = re.split(r"[\t,;]", header.replace('"', "").lower())
    if len(cells) == 2 and cells[0] in ("barcode", "barcodes", "spot", "spot_id", ""):
      candidates.append(path)
  return candidates


def first(folder: Path, *names: str, directory: bool = False) -> Path | None:
  """The file of one of these names, else the only one that ends in one: exports add a prefix."""
  for name in names:
    path = folder / name
    if path.is_dir() if directory else path.is_file():
      return path
  for name in names:
    matches = [
      p for p in sorted(folder.glob(f"*[_.-]{name}")) if (p.is_dir() if directory else p.is_file())
    ]
    if len(matches) > 1:
      raise BadInputError(
        folder,
        name,
        f"{len(matches)} of them ({matches[0].name}, {matches[1].name})",
        "the files of one section in one folder",
        "put every section into its own folder",
      )
    if matches:
      return matches[0]
  return None


def listing(folder: Path) -> str:
  """What a folder holds, for messages."""
  if not folder.is_dir():
    return "no such folder"
  return ", ".join(sorted(p.name for p in folder.iterdir())[:6]) or "nothing"
