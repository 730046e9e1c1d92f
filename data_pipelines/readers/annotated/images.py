"""Which image of an AnnData a section is read on, and why the others are not."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from data_pipelines.problems import BadInputError
from data_pipelines.readers.annotated.contents import Library
from data_pipelines.slide_image import ArrayImage, SlideImage

_FULL_SIZE = ("fullres", "full_res", "fullsize", "full_size", "full")
"""Names of the image that positions count pixels of; it needs no scale factor."""
_SIZE_TOLERANCE = 0.02


class Chosen(NamedTuple):
  """An image, if any, and the others.

  Attributes:
    image: the finest that can be used.
    scale: its pixels per pixel of the positions.
    unused: "name: not used, why" for each of the others.
  """

  image: SlideImage | None = None
  scale: float = 1.0
  unused: tuple[str, ...] = ()


def chosen(library: Library | None, path: Path) -> Chosen:
  """The file which `metadata["source_image_path"]` names, as scanpy does, else the largest image of
  `uns["spatial"]` whose scale is known.

  Space Ranger's are "hires" and "lowres"; other sources use names of their own, with a scale factor
  `tissue_<name>_scalef` each.

  Raises:
    BadInputError: the file that is named is no image.
  """
  if library is None:
    return Chosen()
  usable: dict[str, tuple[ArrayImage, float]] = {}
  why = {}
  for name, stored in library.images.items():
    try:
      image = ArrayImage.of(path, stored.shape, name, stored.load, stored.inside)
    except BadInputError as problem:
      why[name] = problem.found
      continue
    if (scale := _scale(name, image, library)) is None:
      why[name] = f"no scale factor tissue_{name}_scalef"
    else:
      usable[name] = image, scale
  if library.missing_source:
    why[library.missing_source] = "metadata names it, and no such file is there"
  named = [f"{name}: not used, {reason}" for name, reason in why.items()]
  if library.source is not None:
    named += [f"{name}: not used, {library.source.name} is finer" for name in usable]
    return Chosen(SlideImage.open(library.source, "full"), library.source_scale, tuple(named))
  if not usable:
    return Chosen(unused=tuple(named))
  best = max(usable, key=lambda name: usable[name][1])
  named += [f"{name}: not used, {best} is finer" for name in usable if name != best]
  return Chosen(*usable[best], tuple(named))


def _scale(name: str, image: ArrayImage, library: Library) -> float | None:
  """Its pixels per pixel of the positions: as stated; 1 for one of full size, if others fit it."""
  factors = {key.lower(): value for key, value in library.scalefactors.items()}
  factor = factors.get(f"tissue_{name}_scalef".lower())
  if factor is not None or name.lower() not in _FULL_SIZE:
    return factor
  for other, stored in library.images.items():
    smaller = factors.get(f"tissue_{other}_scalef".lower())
    if smaller and len(stored.shape) == 3:
      off = abs(image.width_px * smaller - stored.shape[1])
      if off > 1.5 + _SIZE_TOLERANCE * stored.shape[1]:
        return None
  return 1.0
