"""Visium HD: bins of 2, 8 or 16 um on a square lattice, read as they are or pooled to wider ones.

The finest that are read unless others are asked for are bins of 8 um. A pitch that is no multiple
of a bin becomes the nearest one that is, so that every spot has as many bins.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from data_pipelines.files import visible
from data_pipelines.problems import BadInputError
from data_pipelines.readers import feature_barcode, joins, lattice, pooling, space_ranger
from data_pipelines.readers.assembly import Positions, assemble
from data_pipelines.readers.metadata import Metadata, file_name
from data_pipelines.readers.names import names_of
from data_pipelines.readers.source import Reader, SectionSource
from data_pipelines.readers.space_ranger_files import (
  Layout,
  label_candidates,
  layout_in,
)
from data_pipelines.readers.visium_hd_bins import Bins, keys_of, read_bins
from data_pipelines.section import Section
from data_pipelines.text_files import read_json

FINEST_UM = 8.0
_FOLDER = re.compile(r"square_(\d{3})um")
_PITCH_TOLERANCE = 0.025
_SCALE_TOLERANCE = 0.05


@dataclasses.dataclass(frozen=True)
class Plan:
  """Which bins are read, and how many of them side by side become a spot."""

  layout: Layout
  bin_um: float
  across: int

  @property
  def pitch_um(self) -> float:
    return self.bin_um * self.across


def _find(path: Path, metadata: Metadata) -> list[SectionSource]:
  folders = _bin_folders(path)
  if not folders:
    return []
  name, *others = names_of(path, _is_generic)
  entry = metadata.entry(name, path, path.parent, also=others)
  plan = _plan(folders, entry.pitch_um, path)
  section_id = file_name(entry.section)
  source = SectionSource(
    section_id=section_id,
    donor_id=entry.donor or section_id,
    reader="visium_hd",
    path=path,
    files=plan.layout.files() + tuple(label_candidates(plan.layout, entry)),
    entry=entry,
    load=functools.partial(_read_section, plan=plan),
    checks=(
      lambda: read_bins(space_ranger.positions_file(plan.layout)),
      lambda: space_ranger.read_scalefactors(plan.layout),
      lambda: space_ranger.image_of(
        plan.layout, space_ranger.read_scalefactors(plan.layout), entry
      ),
    ),
    other_names=tuple(others),
  )
  return [source]


READER = Reader(
  find=_find,
  holds="Visium HD outputs (binned_outputs)",
  inner_folders=("spatial",),
  pools=True,
)


def _is_generic(name: str) -> bool:
  return space_ranger.is_generic(name) or _FOLDER.fullmatch(name) is not None


def _bin_folders(path: Path) -> dict[float, Path]:
  """Side of the bins in um -> folder of these bins; empty where it is no output of Visium HD."""
  if not path.is_dir():
    return {}
  for folder in (path / "binned_outputs", path):
    if folder.is_dir():
      inside = {_FOLDER.fullmatch(p.name): p for p in visible(folder) if p.is_dir()}
      if found := {float(name[1]): p for name, p in inside.items() if name}:
        return found
  named = _FOLDER.fullmatch(path.absolute().name)
  if named and (path / "spatial").is_dir():
    return {float(named[1]): path}
  stated = _stated_um(path)
  return {stated: path} if stated else {}


def _stated_um(path: Path) -> float | None:
  """Side of the bins by the scale factors of a folder: downloads lose the name of theirs."""
  files = [
    f for place in (path, path / "spatial") for f in visible(place, "*scalefactors_json.json*")
  ]
  try:
    stated = read_json(files[0]).get("bin_size_um") if len(files) == 1 else None
  except BadInputError:  # whoever reads the folder says so
    return None
  return float(stated) if isinstance(stated, int | float) and 1 <= stated <= 100 else None


def _plan(folders: dict[float, Path], pitch_um: float | None, path: Path) -> Plan:
  """The coarsest bins that make up the pitch, else those that come nearest to it.

  Raises:
    BadInputError: every bin is wider than the pitch.
  """
  found = bins_for(folders, pitch_um)
  if found is None:
    raise BadInputError(
      path,
      "pitch_um",
      f"{pitch_um:g}",
      f"at least {min(folders):g}, the finest bins that are there",
      "give a wider pitch, or add the folder of finer bins",
    )
  um, across = found
  return Plan(layout_in(folders[um]), um, across)


def bins_for(widths: Collection[float], pitch_um: float | None) -> tuple[float, int] | None:
  """The coarsest bins that make up a pitch, and how many of them; else those that come nearest.

  None where every bin is wider. Without a pitch, bins of 8 um or the finest that are wider.
  """
  wanted = pitch_um or max(FINEST_UM, min(widths))
  across = {um: round(wanted / um) for um in sorted(widths, reverse=True) if round(wanted / um)}
  error = {um: abs(n * um / wanted - 1) for um, n in across.items()}
  close = (um for um, e in error.items() if e <= _PITCH_TOLERANCE)
  um = next(close, min(error, key=error.get, default=None))
  return None if um is None else (um, across[um])


def _read_section(source: SectionSource, plan: Plan) -> Section:
  """The bins on tissue, or squares of them.

  Raises:
    BadInputError: a file is missing, damaged, or does not belong to the others.
  """
  layout, path = plan.layout, space_ranger.positions_file(plan.layout)
  factors = space_ranger.read_scalefactors(layout)
  bins = read_bins(path)
  um_per_px, how = source.entry.scale(lambda: _scale(bins, factors, plan, path))
  seen = np.flatnonzero(bins.on_tissue)
  squares = pooling.squares(bins.rows[seen] // plan.across, bins.columns[seen] // plan.across)
  of_bin = np.full(len(bins.rows), -1)
  of_bin[seen] = squares.of_item
  by_key = pd.Index(bins.keys)
  items = pooling.Items(
    what=f"bins of {plan.bin_um:g} um",
    path=path,
    row_of=lambda names: by_key.get_indexer(pd.Index(keys_of(pa.array(names)))),
    square=of_bin,
    ids=_ids(squares, bins, seen, plan),
  )
  space_ranger.refuse_without_counts(layout)
  counts = feature_barcode.pieces(layout.h5, layout.matrix_market)
  raw = pooling.summed(counts, items).cleaned(source.entry)
  image, image_scale = space_ranger.image_of(layout, factors, source.entry)
  return assemble(
    source,
    raw=raw,
    every_spot_counted=False,
    positions=Positions(
      path=path,
      ids=items.ids,
      rows=squares.array[:, 0],
      columns=squares.array[:, 1],
      positions_px=squares.means(bins.positions_px[seen]),
      on_tissue=np.ones(len(squares), bool),
    ),
    um_per_px=um_per_px,
    um_per_px_source=how,
    image=image,
    image_scale=image_scale,
    labels=_labels(source, plan, items),
    notes=(*raw.notes, *_notes(source, plan, raw.counts)),
    spot_um=plan.pitch_um,
  )


def _scale(bins: Bins, factors: dict, plan: Plan, path: Path) -> tuple[float, str]:
  """By the lattice of bins, which what Space Ranger states must agree with."""
  if factors.get("bin_size_um", plan.bin_um) != plan.bin_um:
    raise BadInputError(
      plan.layout.scalefactors,
      "bin_size_um",
      f"{factors['bin_size_um']}",
      f"{plan.bin_um:g}, as the folder {plan.layout.folder.name} says",
      "put back the files of these bins",
    )
  nominal = np.stack([bins.columns, bins.rows], axis=1) * plan.bin_um
  um_per_px = lattice.um_per_px(nominal, bins.positions_px, path)
  if "microns_per_pixel" in factors:
    stated = space_ranger.factor(factors, "microns_per_pixel", plan.layout.scalefactors)
    if not abs(stated / um_per_px - 1) <= _SCALE_TOLERANCE:
      raise BadInputError(
        plan.layout.scalefactors,
        "microns_per_pixel",
        f"{stated:.4g}",
        f"{um_per_px:.4g}, by bins of {plan.bin_um:g} um in {path.name}",
        "give positions in pixels of the full-size image, and both files of one run",
      )
  return um_per_px, f"bins of {plan.bin_um:g} um"


def _ids(squares: pooling.Squares, bins: Bins, seen: np.ndarray, plan: Plan) -> np.ndarray:
  """Names as Space Ranger gives them to bins of that width; where a file has others, these."""
  if plan.across == 1 and bins.keys.dtype.kind != "i":
    ids = np.empty(len(squares), object)
    ids[squares.of_item] = bins.keys[seen]
    return ids.astype(str)
  um = round(plan.pitch_um)
  return np.array([f"s_{um:03d}um_{r:05d}_{c:05d}-1" for r, c in squares.array.tolist()], str)


def _labels(source: SectionSource, plan: Plan, items: pooling.Items) -> list[joins.LabelTable]:
  """The table that the metadata names, else tables beside the counts whose names are of bins."""
  given = source.entry.path_of("labels")
  files = [given] if given else label_candidates(plan.layout, source.entry)
  tables = [joins.read_labels(file) for file in files]
  own = [t for t in tables if given or (items.row_of(t.ids) >= 0).mean() > 0.5]
  for table in own:
    if not (items.row_of(table.ids) >= 0).any():
      raise joins.no_overlap(table.path, "labels", items.ids, table.ids)
  return [pooling.most_common(table, items) for table in own]


def _notes(source: SectionSource, plan: Plan, counts) -> list[str]:
  notes = []
  asked = source.entry.pitch_um
  if plan.across > 1:
    notes.append(
      f"{plan.across} x {plan.across} bins of {plan.bin_um:g} um pooled to {plan.pitch_um:g} um"
    )
  if asked and abs(plan.pitch_um / asked - 1) > 1e-6:
    notes.append(f"a pitch of {asked:g} um was asked for; bins make up {plan.pitch_um:g} um")
  if plan.pitch_um < pooling.SPOT_UM / 2:
    depth = np.median(np.asarray(counts.sum(axis=1)).ravel())
    notes.append(
      f"bins of {plan.pitch_um:g} um have {depth:g} counts each (median); a model of spots reads "
      f"them pooled (pitch_um {pooling.SPOT_UM:g})"
    )
  if not plan.layout.filtered:
    notes.append("unfiltered counts: bins on tissue are taken by the positions file")
  for place in (source.path, source.path.parent):
    if (place / "segmented_outputs").is_dir():
      notes.append("segmented_outputs (cells) is not read: bins are")
      break
  return [*notes, *source.donor_notes]
