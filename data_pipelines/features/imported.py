"""Features that somebody else extracted, e.g. with a pathology foundation model, joined to spots.

By the names of spots where the file has them; else a spot gets the features of the patch that it
lies in, of the one whose centre is nearest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from data_pipelines.features import files
from data_pipelines.features.files import KEYS, OfSection, Tensors
from data_pipelines.problems import BadInputError
from data_pipelines.readers import joins

SECTION = "{section}"
MIN_COVERAGE = 0.9
"""Features that are missing for more of the spots are not those of this corpus, or not all."""


@dataclasses.dataclass(frozen=True)
class Imported:
  """Features joined to spots.

  Attributes:
    values: a row for each spot that was asked for; NaN where the file has none.
    encoder: what the file says that it was extracted with; empty where it does not.
  """

  values: Float[np.ndarray, "spot width"]
  encoder: str = ""

  @property
  def known(self) -> Bool[np.ndarray, " spot"]:
    """Spots that have features."""
    return np.isfinite(self.values).all(axis=1)


def read(
  path: str,
  spots: pd.DataFrame,
  sections: Sequence[Mapping[str, Any]],
  tensors: Tensors | None = None,
  tolerance_um: float | None = None,
) -> Imported:
  """The features of every row of `spots`.

  Args:
    path: a file, or the name of a file a section with `{section}` in place of the section's name.
    spots: with `section_id` and `spot_id`, and `x_px` and `y_px` to join by places.
    sections: the manifest's entries. Of those without an image features may be missing altogether.
    tensors: reads .pt files.
    tolerance_um: how far a spot may lie from the middle of its patch, along either axis; by default
      half the patch.

  Raises:
    BadInputError: a file that cannot be read, or features of less than `MIN_COVERAGE` of the spots.
  """
  if SECTION in path:
    found = _of_sections(path, spots, sections, tensors, tolerance_um)
  else:
    table = files.read_table(Path(path))
    wanted = pd.MultiIndex.from_frame(spots[list(KEYS)].astype(str))
    found = Imported(table.reindex(wanted).to_numpy(np.float32))
  _check(path, spots, sections, found.known)
  return found


def _of_sections(
  pattern: str,
  spots: pd.DataFrame,
  sections: Sequence[Mapping[str, Any]],
  tensors: Tensors | None,
  tolerance_um: float | None,
) -> Imported:
  entries = {section["section_id"]: section for section in sections}
  ids = spots["section_id"].to_numpy()
  parts: list[tuple[np.ndarray, np.ndarray]] = []
  encoder = ""
  for name in dict.fromkeys(ids):
    path = Path(pattern.replace(SECTION, name))
    if not path.is_file() and not entries[name]["has_image"]:
      continue
    given = files.read_section(path, tensors)
    if parts and parts[0][1].shape[1] != given.values.shape[1]:
      raise BadInputError(
        path, "width", str(given.values.shape[1]), f"{parts[0][1].shape[1]}, as in other sections",
        "extract all sections with one encoder",
      )  # fmt: skip
    encoder = encoder or given.encoder
    rows = np.flatnonzero(ids == name)
    at = _rows_of(path, given, spots.iloc[rows], entries[name], tolerance_um)
    values = np.concatenate([given.values, np.full_like(given.values[:1], np.nan)])
    parts.append((rows, values[at]))  # -1: the row behind the last
  if not parts:
    raise files.unreadable(pattern, FileNotFoundError("no file of any section"))
  values = np.full((len(spots), parts[0][1].shape[1]), np.nan, np.float32)
  for rows, own in parts:
    values[rows] = own
  return Imported(values, encoder)


def _rows_of(
  path: Path,
  given: OfSection,
  spots: pd.DataFrame,
  section: Mapping[str, Any],
  tolerance_um: float | None,
) -> Int[np.ndarray, " spot"]:
  """Row of the features of each spot of a section; -1 where there is none."""
  if given.barcodes is not None:
    names, first = np.unique(given.barcodes.astype(str), return_index=True)
    rows, _ = joins.match(spots["spot_id"].to_numpy(str), names)
    return np.where(rows >= 0, first[rows], -1)
  if "x_px" not in spots or section.get("image") is None:
    raise BadInputError(
      path, "coords", f"places, but no image of section {section['section_id']} in the corpus",
      "features by barcode, or a corpus that remembers its slides",
      "run the same data_pipelines.prepare command again",
    )  # fmt: skip
  # Pixels of the corpus' image for each of the whole slide: the corpus may have read a smaller one.
  scale = section["image"]["width_px"] / given.slide_px if given.slide_px else 1.0
  centres = (given.corners_px + given.patch_px / 2) * scale
  reach = given.patch_px * scale / 2
  if tolerance_um is not None:
    reach = tolerance_um / section["um_per_px"]
  distance, rows = cKDTree(centres).query(spots[["x_px", "y_px"]].to_numpy(), p=np.inf)
  return np.where(distance <= reach, rows, -1)


def _check(
  path: str,
  spots: pd.DataFrame,
  sections: Sequence[Mapping[str, Any]],
  known: Bool[np.ndarray, " spot"],
) -> None:
  """Refuses features that are not of these spots; sections that are not theirs do not count."""
  ids = spots["section_id"]
  with_image = [section["section_id"] for section in sections if section["has_image"]]
  asked = (ids.isin(with_image) | ids.isin(ids[known])).to_numpy()
  if known[asked].mean() >= MIN_COVERAGE if asked.any() else False:
    return
  missing = spots[asked & ~known] if asked.any() else spots
  shown = ", ".join(f"{one.section_id}/{one.spot_id}" for one in missing.head(3).itertuples())
  raise BadInputError(
    path, "spots", f"{known.sum():,} of {max(asked.sum(), len(missing)):,} (missing: {shown}, ...)",
    f"at least {MIN_COVERAGE:.0%} of the corpus' spots, finite",
    "extract the others, or check the names or places of spots",
  )  # fmt: skip
