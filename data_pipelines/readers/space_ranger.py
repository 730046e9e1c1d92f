"""Visium sections in the folder that Space Ranger writes.

Pixel columns of the positions file are row first, then column: y before x. Positions count pixels
of the image that was handed to Space Ranger, which is not in its output folder.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from data_pipelines.problems import BadInputError
from data_pipelines.readers import feature_barcode, joins, lattice, placement
from data_pipelines.readers.assembly import Positions, assemble
from data_pipelines.readers.metadata import Entry, Metadata, file_name
from data_pipelines.readers.names import names_of
from data_pipelines.readers.raw_counts import RawCounts
from data_pipelines.readers.source import Reader, SectionSource
from data_pipelines.readers.space_ranger_files import (
  POSITION_FILES,
  Layout,
  label_candidates,
  layouts_of,
  listing,
)
from data_pipelines.readers.tissue_positions import read_positions
from data_pipelines.section import VISIUM_SPOT_UM, Section
from data_pipelines.slide_image import SlideImage
from data_pipelines.text_files import read_json

PITCH_UM = 100.0
_SCALE_TOLERANCE = 0.05
_IMAGE_SIZE_TOLERANCE = 0.01
_COMPARED_PX, _LEAST_SHOWN = 20, 12.0
"""Side of pictures that are compared, and the spread of grey values of one that shows anything."""
_UNLIKE, _ALIKE, _MORE_ALIKE = 0.2, 0.6, 0.1
"""Correlations: of pictures that show other things, the same, and the same much better."""
GENERIC_NAMES = ("outs", "out", "spatial", "spaceranger", "binned_outputs")


def is_generic(name: str) -> bool:
  """Whether a folder is called as every output is."""
  return name.lower() in GENERIC_NAMES


def _find(path: Path, metadata: Metadata) -> list[SectionSource]:
  layouts = layouts_of(path) if path.is_dir() else []
  names = [layout.prefix if layout.one_of_several else None for layout in layouts]
  return [source_of(*pair, metadata) for pair in zip(layouts, names, strict=True)]


def source_of(layout: Layout, name: str | None, metadata: Metadata) -> SectionSource:
  """The section; without a name, it has that of the nearest folder upwards with a telling one."""
  name, *others = names_of(layout.folder / (name or ""), is_generic, name)
  parent = layout.folder.parent if layout.folder.name in GENERIC_NAMES else layout.folder
  also = [*others, layout.prefix] if layout.prefix else others
  entry = metadata.entry(name, layout.folder, parent, also=also)
  section_id = file_name(entry.section)
  return SectionSource(
    section_id=section_id,
    donor_id=entry.donor or section_id,
    reader="visium",
    path=layout.folder,
    files=layout.files() + tuple(label_candidates(layout, entry)),
    entry=entry,
    load=functools.partial(_read_section, layout=layout),
    checks=(
      lambda: _counts(layout, entry),
      lambda: _positions(layout),
      lambda: read_scalefactors(layout),
      lambda: image_of(layout, read_scalefactors(layout), entry),
    ),
    other_names=tuple(others),
  )


READER = Reader(
  find=_find,
  holds="Space Ranger folders (feature_bc_matrix and spatial)",
  inner_folders=("spatial", "filtered_feature_bc_matrix", "raw_feature_bc_matrix"),
)


def _read_section(source: SectionSource, layout: Layout) -> Section:
  """The section of a Space Ranger folder.

  The image is the one that the metadata table names, else hires, else lowres.

  Raises:
    BadInputError: a file is missing, damaged, or does not belong to the others.
  """
  raw, notes = _counts(layout, source.entry)
  positions = _positions(layout)
  scalefactors = read_scalefactors(layout)
  um_per_px, how = source.entry.scale(lambda: _scale(scalefactors, layout, positions))
  image, image_scale = image_of(layout, scalefactors, source.entry)
  if layout.scalefactors is None:
    notes += ("no scalefactors_json.json: the scale comes from the spot lattice alone",)
  return assemble(
    source,
    raw=raw,
    every_spot_counted=not layout.filtered,
    positions=positions,
    um_per_px=um_per_px,
    um_per_px_source=how,
    image=image,
    image_scale=image_scale,
    labels=_labels(source, layout, raw),
    notes=raw.notes + notes + source.donor_notes,
  )


def _counts(layout: Layout, entry: Entry) -> tuple[RawCounts, tuple[str, ...]]:
  notes: tuple[str, ...] = ()
  refuse_without_counts(layout)
  if layout.h5 is None:
    raw = feature_barcode.read_matrix_market(layout.matrix_market)
  else:
    raw = feature_barcode.read_h5(layout.h5)
    if layout.matrix_market is not None:
      shape = feature_barcode.matrix_market_shape(layout.matrix_market)
      if shape != raw.counts.shape[::-1]:
        raise BadInputError(
          layout.h5,
          "shape",
          "{1} features x {0} barcodes".format(*raw.counts.shape),
          "{} x {}, as in the folder {} beside it".format(*shape, layout.matrix_market.name),
          "remove the one that does not belong to this section",
        )
      notes += (f"{layout.h5.name} is read, {layout.matrix_market.name} beside it is not",)
  if not layout.filtered:
    notes += ("spots on tissue are taken by the positions file: counts may be of every spot",)
  own = np.flatnonzero(np.char.endswith(raw.spot_ids, layout.part))
  raw = dataclasses.replace(raw, counts=raw.counts[own], spot_ids=raw.spot_ids[own])
  return raw.cleaned(entry), notes


def _positions(layout: Layout) -> Positions:
  return read_positions(positions_file(layout), layout.part)


def refuse_without_counts(layout: Layout) -> None:
  """
  Raises:
    BadInputError: the folder holds no counts.
  """
  if layout.h5 is None and layout.matrix_market is None:
    raise BadInputError(
      layout.folder,
      "counts",
      f"only {listing(layout.folder)}",
      "filtered_feature_bc_matrix.h5 or the folder filtered_feature_bc_matrix",
      "copy the counts beside the folder spatial",
    )


def positions_file(layout: Layout) -> Path:
  """The positions file.

  Raises:
    BadInputError: there is none.
  """
  if layout.positions is not None:
    return layout.positions
  if layout.packed is not None:
    raise BadInputError(
      layout.packed, "archive", "a packed folder", "the folder spatial", "unpack it first"
    )
  raise BadInputError(
    layout.folder,
    "positions",
    f"only {listing(layout.folder / 'spatial')}",
    "one of " + ", ".join(POSITION_FILES),
    "copy the file into the folder spatial",
  )


def read_scalefactors(layout: Layout) -> dict:
  """What scalefactors_json.json holds; nothing where there is none."""
  return read_json(layout.scalefactors) if layout.scalefactors else {}


def _scale(scalefactors: dict, layout: Layout, positions: Positions) -> tuple[float, str]:
  nominal = lattice.hexagonal(positions.rows, positions.columns, PITCH_UM)
  um_per_px = lattice.um_per_px(nominal, positions.positions_px, positions.path)
  said = []
  if "spot_diameter_fullres" in scalefactors:
    diameter = factor(scalefactors, "spot_diameter_fullres", layout.scalefactors)
    if (spot_um := lattice.spot_um(um_per_px, diameter)) is None:
      raise _other_pixels(um_per_px, VISIUM_SPOT_UM / diameter, "spot_diameter_fullres", positions)
    said.append(f"{spot_um / diameter:.4g} by spots of {spot_um:g} um")
  if "microns_per_pixel" in scalefactors:
    stated = factor(scalefactors, "microns_per_pixel", layout.scalefactors)
    if abs(stated / um_per_px - 1) > _SCALE_TOLERANCE:
      raise _other_pixels(um_per_px, stated, "microns_per_pixel", positions)
    said.append(f"{stated:.4g} by microns_per_pixel")
  how = f"lattice pitch of {PITCH_UM:g} um"
  return um_per_px, f"{how} ({', '.join(said)})" if said else how


def _other_pixels(um_per_px: float, stated: float, key: str, positions: Positions) -> BadInputError:
  ratio = um_per_px / stated
  amount = f"{ratio:.3g} times too small" if ratio > 1 else f"{1 / ratio:.3g} times too large"
  return BadInputError(
    positions.path,
    "pixel positions",
    f"a pitch of {PITCH_UM / um_per_px:.4g} px ({um_per_px:.4g} um a pixel) beside {stated:.4g} um "
    f"a pixel by {key}",
    f"a pitch of about {PITCH_UM / stated:.4g} px",
    f"give positions in full-size pixels (these are about {amount}), or correct {key}",
  )


def image_of(layout: Layout, scalefactors: dict, entry: Entry) -> tuple[SlideImage | None, float]:
  """The best image there is, and its pixels per full-size pixel."""
  if entry.is_without_image:
    return None, 1.0
  path = entry.path_of("image")
  if path is not None:
    image = SlideImage.open(path, "full")
    _check_size(image, entry, layout, scalefactors)
    return image, entry.image_scale
  for kind in ("hires", "lowres"):
    path = getattr(layout, kind)
    if path is not None and layout.scalefactors is not None:
      ratio = factor(scalefactors, f"tissue_{kind}_scalef", layout.scalefactors)
      return SlideImage.open(path, kind), ratio
  return None, 1.0


def _check_size(image: SlideImage, entry: Entry, layout: Layout, scalefactors: dict) -> None:
  """A full-size image times the scale factor has the size of the small one beside the counts."""
  kind = "hires" if layout.hires else "lowres"
  small = layout.hires or layout.lowres
  if small is None or f"tissue_{kind}_scalef" not in scalefactors:
    return
  thumbnail = SlideImage.open(small, kind)
  ratio = factor(scalefactors, f"tissue_{kind}_scalef", layout.scalefactors)
  given = np.array([image.width_px, image.height_px]) / entry.image_scale
  expected = np.array([thumbnail.width_px, thumbnail.height_px]) / ratio
  # A pixel of rounding in the small image is 1 / ratio pixels of the large one.
  if (np.abs(given - expected) <= _IMAGE_SIZE_TOLERANCE * expected + 1.5 / ratio).all():
    if entry.positions != placement.AS_IS:
      _check_likeness(image, thumbnail)
    return
  scale = image.width_px / expected[0]
  is_smaller = abs(given[1] / given[0] * expected[0] / expected[1] - 1) <= _IMAGE_SIZE_TOLERANCE
  raise BadInputError(
    image.path,
    "size",
    f"{image.width_px} x {image.height_px} px at image_scale {entry.image_scale:g}",
    f"about {expected[0]:.0f} x {expected[1]:.0f} px by {small.name} and its scale factor",
    "give the image that Space Ranger was run on"
    + f", or, if this is a smaller copy of it, image_scale {scale:.4g} in the metadata table"
    * bool(is_smaller),
  )


def _check_likeness(image: SlideImage, small: SlideImage) -> None:
  """Refuses a full-size image that the small one beside it does not resemble as it lies.

  Raises:
    BadInputError: the two show other things, or one of them was turned or mirrored.
  """
  grey, other = (_grey(one) for one in (image, small))
  if min(grey.std(), other.std()) < _LEAST_SHOWN:
    return
  lying = {f"turned by {90 * turns} degrees": np.rot90(grey, turns) for turns in range(4)}
  lying |= {
    f"mirrored and {how}" if turns else "mirrored": one[:, ::-1]
    for turns, (how, one) in enumerate(lying.items())
  }
  like = {how: float(np.corrcoef(one.ravel(), other.ravel())[0, 1]) for how, one in lying.items()}
  how, best = max(like.items(), key=lambda item: item[1])
  own = like["turned by 0 degrees"]
  if own < _UNLIKE or best > own + _MORE_ALIKE:
    turned = f" ({best:.2f} if it were {how})" if best > max(own + _MORE_ALIKE, _ALIKE) else ""
    raise BadInputError(
      image.path,
      "image",
      f"a correlation of {own:.2f} with {small.path.name}{turned}",
      "the image that Space Ranger was run on, as it was",
      "give that image; if it is that, say as_is, in column positions of the metadata table, or by "
      "--positions",
    )


def _grey(image: SlideImage) -> Float[np.ndarray, "side side"]:
  picture = Image.fromarray(image.thumbnail(_COMPARED_PX * 8)).convert("L")
  return np.asarray(picture.resize((_COMPARED_PX,) * 2, Image.Resampling.BOX), np.float64)


def factor(scalefactors: dict, key: str, file: Path) -> float:
  """A positive number of scalefactors_json.json.

  Raises:
    BadInputError: it is missing, or no such number.
  """
  value = scalefactors.get(key)
  if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
    raise BadInputError(
      file,
      key,
      repr(value) if key in scalefactors else "nothing",
      "a positive number",
      "take scalefactors_json.json from the Space Ranger output",
    )
  return float(value)


def _labels(source: SectionSource, layout: Layout, raw: RawCounts) -> list[joins.LabelTable]:
  path = source.entry.path_of("labels")
  if path is not None:
    return [joins.read_labels(path)]
  found = []
  for candidate in label_candidates(layout, source.entry):
    table = joins.read_labels(candidate)
    rows, _ = joins.match(table.ids, raw.spot_ids)
    if len(rows) and (rows >= 0).mean() > 0.5:
      found.append(table)
  return found
