"""Counts, positions, image and labels of one section, joined by spot id into a `Section`."""

from __future__ import annotations

import collections
import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from data_pipelines.alignment import TARGETED
from data_pipelines.console import counted
from data_pipelines.genes import guess_species
from data_pipelines.problems import BadInputError
from data_pipelines.readers import array_fit, joins, one_slide, placement
from data_pipelines.readers.array_fit import SAY
from data_pipelines.readers.raw_counts import RawCounts
from data_pipelines.readers.source import SectionSource
from data_pipelines.section import VISIUM_SPOT_UM, Section
from data_pipelines.slide_image import SlideImage

_MIN_SHARE_INSIDE = 0.95
_MIN_SHARE_JOINED = 0.99
_MANY, _AS_DEEP = 0.25, 0.5
"""Share of spots without a position, and their depth beside others', that are another slide's."""
_DEEP_SPOT, _FEW_GENES = 1_000_000, 50


@dataclasses.dataclass(frozen=True)
class Positions:
  """Where the spots of an array lie.

  Attributes:
    path: file they came from, for messages.
    ids: one id per spot.
    rows: array row.
    columns: array column.
    positions_px: (x, y) in pixels of the full-size image.
    on_tissue: False where the spot lies beside the tissue.
    dropped: reason -> how many were left out on reading.
  """

  path: Path
  ids: np.ndarray
  rows: np.ndarray
  columns: np.ndarray
  positions_px: Float[np.ndarray, "spot 2"]
  on_tissue: Bool[np.ndarray, " spot"]
  dropped: dict[str, int] = dataclasses.field(default_factory=dict)

  def __post_init__(self):
    if twice := [i for i, n in collections.Counter(self.ids.tolist()).items() if n > 1]:
      rows = np.flatnonzero(np.isin(self.ids, twice))
      places = {(self.ids[row], *self.positions_px[row].tolist()) for row in rows}
      raise BadInputError(
        self.path,
        "spots",
        f"{len(twice)} names twice ({', '.join(twice[:3])})",
        "each spot once",
        "remove the repeated rows"
        if len(places) == len(twice)
        else "give the positions of this slide alone: the repeated names lie at several places",
      )
    if not self.on_tissue.any():
      raise BadInputError(
        self.path, "spots", "none on tissue", "spots on tissue", "mark the spots under tissue"
      )


def assemble(
  source: SectionSource,
  *,
  raw: RawCounts,
  every_spot_counted: bool,
  positions: Positions,
  um_per_px: float,
  um_per_px_source: str,
  image: SlideImage | None,
  image_scale: float,
  labels: list[joins.LabelTable],
  notes: tuple[str, ...],
  spot_um: float = VISIUM_SPOT_UM,
  said: str | None = None,
) -> Section:
  """The section: spots that have counts, a position on tissue and, if there is an image, lie on it.

  Args:
    source: whose name, donor, platform and species it gets.
    raw: cleaned counts. Arguments that are not listed are as in `Section`.
    every_spot_counted: the matrix also holds spots beside the tissue.
    positions: of the array's spots.
    um_per_px: micrometres per pixel of the full-size image.
    image_scale: pixels of `image` per pixel of the positions.
    labels: tables to join by spot id.
    said: of the positions, by the user, see `readers.placement`; None: what the entry says.

  Raises:
    BadInputError: files do not belong together.
  """
  said = source.entry.positions if said is None else said
  rows, rule = joins.match(raw.spot_ids, positions.ids)
  joined = rows >= 0
  # A filtered matrix holds the spots on tissue, a raw one the whole array.
  needed = int(positions.on_tissue.sum()) if every_spot_counted else len(rows)
  too_few = joined.sum() < _MIN_SHARE_JOINED * min(needed, len(rows)) or not joined.any()
  if too_few or _lacks_tissue(raw, joined):
    raise joins.no_overlap(positions.path, "spots", raw.spot_ids, positions.ids)
  kept = np.flatnonzero(joined)
  rows = rows[kept]
  full_px = positions.positions_px[rows]
  if said == placement.SWAPPED:
    full_px = full_px[:, ::-1]
  dropped = collections.Counter(raw.dropped) + collections.Counter(positions.dropped)
  dropped["spots without a position"] += int((~joined).sum())
  unseen = np.ones(len(positions.ids), bool)
  unseen[rows] = False
  dropped["positions without counts"] += int((unseen & positions.on_tissue).sum())
  section = Section(
    section_id=source.section_id,
    donor_id=source.donor_id,
    platform=source.reader,
    species=source.entry.species or guess_species(raw.gene_ids, raw.gene_symbols),
    counts=raw.counts[kept],
    gene_ids=raw.gene_ids,
    gene_symbols=raw.gene_symbols,
    spot_ids=raw.spot_ids[kept],
    positions_um=full_px * um_per_px,
    positions_px=full_px * (image_scale if image else 1.0),
    array_positions=np.round(
      np.stack([positions.rows[rows], positions.columns[rows]], axis=1)
    ).astype(np.int32),
    um_per_px=um_per_px / (image_scale if image else 1.0),
    um_per_px_source=um_per_px_source,
    image=image,
    image_scale=image_scale if image else 1.0,
    spot_um=spot_um,
    dropped={reason: count for reason, count in dropped.items() if count},
    notes=notes if rule is None else (*notes, f"{positions.path.name}: {rule}"),
  )
  _refuse_several_slides(section, positions.path, said)
  section = section.subset(positions.on_tissue[rows], "spots beside the tissue")
  section = section.subset(section.counts.getnnz(axis=1) > 0, "spots without counts")
  if not section.num_spots:
    raise BadInputError(
      raw.path, "counts", "none in any spot on tissue", "spots with counts", "check the counts"
    )
  if image is not None:
    fix = (
      "point to the image the positions were measured on, or give image_scale in the metadata table"
    )
    fit = array_fit.fitted(section.array_positions, section.positions_px)
    inside = on_image(
      section.positions_px,
      image,
      positions.path,
      _MIN_SHARE_INSIDE,
      fix,
      as_printed=source.reader in placement.PRINTED and fit is not None and not fit.mirrors,
    )
    section = section.subset(inside, "spots outside the image")
  seen = placement.checked(
    section.array_positions,
    section.positions_px,
    image,
    section.um_per_px,
    file=positions.path,
    platform=source.reader,
    said=said,
  )
  section = dataclasses.replace(section, notes=(*section.notes, *seen))
  return _noted(_labelled(section, labels))


def _lacks_tissue(raw: RawCounts, joined: Bool[np.ndarray, " spot"]) -> bool:
  """Whether spots without a position are another slide's: named as those with one are, or many and
  as deep, for beside the tissue there is little to count."""
  if joins.twins(raw.spot_ids, joined):
    return True
  depth = np.asarray(raw.counts.sum(axis=1, dtype=np.int64)).ravel()
  many = (~joined).mean() > _MANY
  return bool(many and np.median(depth[~joined]) > _AS_DEEP * np.median(depth[joined]))


def _refuse_several_slides(section: Section, path: Path, said: str) -> None:
  where = section.array_positions, section.positions_px, section.spot_ids
  shared = one_slide.sharing_a_place(*where, as_is=said == placement.AS_IS)
  if one_slide.are_several(shared):
    fix = "give each slide as a section of its own, with its own counts and positions"
    raise one_slide.refusal(path, *where, shared, fix)


def _labelled(section: Section, tables: list[joins.LabelTable]) -> Section:
  labels, dropped, notes = {}, dict(section.dropped), section.notes
  for table in tables:
    columns, lost, said = joins.joined_labels(table, section.spot_ids)
    labels |= columns
    dropped |= lost
    notes += said
  return dataclasses.replace(section, labels=labels, dropped=dropped, notes=notes)


def _noted(section: Section) -> Section:
  notes = list(section.notes)
  deepest = int(section.counts.sum(axis=1, dtype=np.int64).max())
  if deepest > _DEEP_SPOT:
    notes.append(f"a spot with {deepest:,} counts: is it really one spot?")
  shallow = int((section.counts.getnnz(axis=1) < _FEW_GENES).sum())
  if shallow and section.counts.shape[1] >= TARGETED:
    notes.append(
      f"{counted(shallow, f'spots with fewer than {_FEW_GENES} genes')}, too few to say much "
      f"(prepare --min_genes={_FEW_GENES} leaves such spots out)"
    )
  if section.image is not None and section.image.rotated_by_tag:
    notes.append("the image asks to be turned (EXIF orientation); it is read as stored")
  coarse = section.image is not None and section.image_scale < 1
  if coarse and section.image.kind not in ("full", "patches"):
    notes.append(
      f"no full-size image: using the {section.image.kind} one at {section.um_per_px:.1f} um "
      "per pixel, enough for layout and hardly for patches"
    )
  return dataclasses.replace(section, notes=tuple(notes))


def on_image(
  positions_px: Float[np.ndarray, "spot 2"],
  image: SlideImage,
  file: Path,
  least: float,
  fix: str,
  *,
  as_printed: bool = False,
) -> Bool[np.ndarray, " spot"]:
  """Which spots lie on the image; one that too many lie beside, or its scale, is another one's.

  Args:
    file: that the positions came from, for messages.
    least: share of the spots that must lie on the image.
    fix: what to do where the image or its scale is wrong.
    as_printed: the array is known not to be mirrored by the positions, as it would be by exchanging
      x and y.

  Raises:
    BadInputError: with a hint where x and y seem swapped.
  """
  size = np.array([image.width_px, image.height_px])
  inside = ((positions_px >= 0) & (positions_px < size)).all(axis=1)
  if inside.mean() >= least:
    return inside
  swapped = ((positions_px >= 0) & (positions_px < size[::-1])).all(axis=1)
  if swapped.mean() >= least and not as_printed:
    fix = f"x and y seem exchanged (the other way round they fit): say swapped, in {SAY}"
  else:
    scale = (size / np.maximum(positions_px.max(axis=0), 1.0)).min()
    fix = f"{fix} (for the spots to fit, at most {scale:.3g} times what it is now)"
  (left, top), (right, bottom) = positions_px.min(axis=0), positions_px.max(axis=0)
  raise BadInputError(
    file,
    "positions",
    f"{1 - inside.mean():.0%} of {len(inside)} spots outside the {image.kind} image "
    f"{image.path.name}, {size[0]} x {size[1]} px "
    f"(x {left:.0f} to {right:.0f}, y {top:.0f} to {bottom:.0f})",
    "spots on the image",
    fix,
  )
