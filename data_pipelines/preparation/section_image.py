"""What a corpus remembers of a section's slide, so that it can be opened again.

The path is kept relative to the corpus, so that both can be moved together. It is no part of what a
corpus is known by: where a slide lies says nothing of what it shows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_pipelines.patch_image import PatchImage
from data_pipelines.problems import BadInputError
from data_pipelines.readers import zarr_store
from data_pipelines.readers.annotated import contents
from data_pipelines.slide_image import ArrayImage, SlideImage


def described(image: SlideImage | None, corpus: Path) -> dict[str, Any] | None:
  """The manifest's entry of a section's image; None without one."""
  if image is None:
    return None
  file = image.path.parent.resolve() / image.path.name
  return {
    "path": os.path.relpath(file, corpus.resolve()),
    "inside": getattr(image, "inside", ""),
    "kind": image.kind,
    "width_px": image.width_px,
    "height_px": image.height_px,
    **({"scale": image.scale} if isinstance(image, PatchImage) else {}),
  }


def place(entry: Mapping[str, Any], corpus: Path) -> Path:
  """Where the file of a section's image should lie, by its entry in the manifest."""
  return Path(os.path.normpath(corpus.resolve() / entry["path"]))


def opened(section: Mapping[str, Any], corpus: Path) -> SlideImage:
  """The image of a section of a corpus, by its entry in the manifest; `positions_px` lie on it.

  Raises:
    BadInputError: the corpus does not say where it lies, it lies there no longer, or it is another.
  """
  entry = section.get("image")
  if entry is None:
    raise BadInputError(
      corpus, f"section {section['section_id']}", "no word of where its slide lies",
      "a corpus that remembers its slides", "run the same data_pipelines.prepare command again",
    )  # fmt: skip
  path = place(entry, corpus)
  if not path.exists():
    raise BadInputError(
      path, f"slide of section {section['section_id']}", "no such file",
      "the slide where it lay when the corpus was prepared",
      "put it back there, or prepare the corpus again into a new folder",
    )  # fmt: skip
  if "scale" in entry:
    image = PatchImage.of_file(path, entry["scale"], (entry["width_px"], entry["height_px"]))
  elif entry["inside"]:
    stored = (zarr_store if path.is_dir() else contents).image_in(path, entry["inside"])
    image = ArrayImage.of(path, stored.shape, entry["kind"], stored.load, entry["inside"])
  else:
    image = SlideImage.open(path, entry["kind"])
  size = (image.width_px, image.height_px)
  if size != (entry["width_px"], entry["height_px"]):
    raise BadInputError(
      path, "size", f"{size[0]} x {size[1]} px", f"{entry['width_px']} x {entry['height_px']} px",
      "put back the slide that the corpus was prepared from, or prepare it again",
    )  # fmt: skip
  return image
