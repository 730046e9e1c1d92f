"""One section of a corpus: written beside its place, put there by one rename when it is complete.

`windows/<section>/` holds the dataset of windows and the section's spots; what the manifest will
say of it lies in `WORK`. Its key names everything that went in, so that a later run knows whether
it still holds.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data_pipelines import patch_quality
from data_pipelines.alignment import align
from data_pipelines.console import counted
from data_pipelines.files import is_intact, sealed, sha256, unsealed, write_bytes
from data_pipelines.genes import GenePanel
from data_pipelines.preparation import manifest, section_image, shards, windows
from data_pipelines.preparation.manifest import WORK
from data_pipelines.preparation.one_sample import content_hash
from data_pipelines.preparation.options import PrepareOptions
from data_pipelines.preparation.windows import contiguous_windows
from data_pipelines.problems import BadInputError
from data_pipelines.section import FLAGS, Section, spacing

SPOTS = "spots.parquet"
MEASURED = "measured.npy"
_STEP = "5"
"""Raised when the same section would be written differently."""


def section_key(fingerprint: str, panel: GenePanel, options: PrepareOptions) -> str:
  """Changes with anything that changes the content of a section's folder."""
  parts = (
    manifest.FORMAT_VERSION, _STEP, shards.VERSION, fingerprint, panel.hash,
    options.patch_um, options.patch_px, options.window_spots, options.min_counts,
    options.min_genes,
    windows.JPEG_QUALITY, windows.THUMBNAIL_PX,
  )  # fmt: skip
  return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def finished(corpus: Path, section_id: str, key: str) -> dict[str, Any] | None:
  """The manifest's entry of a section that is there with this key, every file as it was written."""
  try:
    kept = unsealed(_state(corpus, section_id).read_bytes())
    files = kept["entry"]["files"] if kept["key"] == key else {"": ""}
    whole = all(is_intact(corpus / name, digest) for name, digest in files.items())
  except (OSError, ValueError):
    return None
  return kept["entry"] if whole else None


def write_section(
  section: Section, panel: GenePanel, options: PrepareOptions, key: str, corpus: Path
) -> dict[str, Any]:
  """Aligns, judges, cuts and writes one section.

  Returns:
    Its entry for the manifest, all but its split and its place in the corpus; under "files" what
    was written, with SHA-256.

  Raises:
    BadInputError: no spot of it has enough counts over the panel, or it shares no genes with it.
  """
  content = content_hash(section)
  section = patch_quality.judged(section, options.patch_um)
  counts, measured, dropped, notes = align(section, panel)
  deep = np.asarray(counts.sum(axis=1)).ravel() >= options.min_counts
  enough = deep & (counts.getnnz(axis=1) >= options.min_genes)
  if not enough.any():
    raise BadInputError(
      section.section_id,
      "counts",
      "no spot left",
      f"spots with at least {options.min_counts} counts and {options.min_genes} genes of the "
      f"{len(panel):,} of the panel",
      "lower --min_counts or --min_genes, or use a panel of the same species and platform",
    )
  least, fewest = counted(options.min_counts, "counts"), counted(options.min_genes, "panel genes")
  section = section.subset(deep, f"spots with fewer than {least} of panel genes")
  section = section.subset(enough[deep], f"spots with fewer than {fewest}")
  window = contiguous_windows(section.positions_um, options.window_spots)
  order = np.argsort(window, kind="stable")
  section = section.subset(order, "")
  counts = counts[np.flatnonzero(enough)[order]]

  partial = corpus / WORK / "partial" / section.section_id
  shutil.rmtree(partial, ignore_errors=True)
  partial.mkdir(parents=True)
  shards.write(
    shards.WindowedSpots(
      counts=counts,
      positions_um=section.positions_um,
      window=window[order],
      patches=windows.encoded_patches(section, options.patch_um, options.patch_px),
      patch_px=options.patch_px,
    ),
    partial,
  )
  _spots(section, counts, window[order]).to_parquet(partial / SPOTS, index=False)
  picture = windows.thumbnail(section)
  if picture is not None:
    write_bytes(corpus / _thumbnail(section), picture.jpeg)
  entry = {
    "section_id": section.section_id,
    "donor_id": section.donor_id,
    "platform": section.platform,
    "species": section.species,
    "num_spots": section.num_spots,
    "num_windows": int(window.max()) + 1,
    "num_measured": int(measured.sum()),
    "has_image": section.image is not None,
    "image": section_image.described(section.image, corpus),
    "pitch_um": spacing(section.positions_um),
    "um_per_px": float(section.um_per_px),
    "um_per_px_source": section.um_per_px_source,
    "dropped": {**section.dropped, **dropped},
    "flagged": {name: int(spots.sum()) for name, spots in section.flags.items()},
    "notes": [*section.notes, *notes],
    "content": content,
    "thumbnail": str(_thumbnail(section)) if picture else None,
    "thumbnail_um_per_px": picture.um_per_px if picture else None,
  }
  np.save(partial / MEASURED, measured)
  place = corpus / "windows" / section.section_id
  state = _state(corpus, section.section_id)
  state.unlink(missing_ok=True)
  place.parent.mkdir(exist_ok=True)
  if place.is_symlink():  # it may have been moved to another disk
    place.unlink()
  elif place.exists():
    shutil.rmtree(place)
  os.rename(partial, place)
  files = sorted(path for path in place.rglob("*") if path.is_file())
  files += [corpus / _thumbnail(section)] if picture else []
  entry["files"] = {path.relative_to(corpus).as_posix(): sha256(path) for path in files}
  write_bytes(state, sealed({"key": key, "entry": entry}))
  return entry


def _state(corpus: Path, section_id: str) -> Path:
  return corpus / WORK / "sections" / f"{section_id}.json"


def _spots(section: Section, counts, window: np.ndarray) -> pd.DataFrame:
  return pd.DataFrame(
    {
      "spot_id": section.spot_ids.astype(str),
      "x_um": section.positions_um[:, 0].astype(np.float64),
      "y_um": section.positions_um[:, 1].astype(np.float64),
      "x_px": section.positions_px[:, 0].astype(np.float64),
      "y_px": section.positions_px[:, 1].astype(np.float64),
      "array_row": section.array_positions[:, 0],
      "array_col": section.array_positions[:, 1],
      "window": window,
      "total_counts": np.asarray(counts.sum(axis=1)).ravel().astype(np.int64),
      **{name: section.flags.get(name, np.zeros(section.num_spots, bool)) for name in FLAGS},
      **{name: values.astype(str) for name, values in section.labels.items()},
    }
  )


def _thumbnail(section: Section) -> Path:
  return Path("thumbnails") / f"{section.section_id}.jpg"
