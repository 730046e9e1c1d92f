"""The images that lie beside a section, and why each one that is not used is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from data_pipelines.files import visible
from data_pipelines.slide_image import SlideImage

_IMAGE = re.compile(r".+\.(png|jpe?g|tiff?|btf|svs|ndpi|mrxs|scn|bif)(\.gz)?", re.IGNORECASE)
_INNER = re.compile(r"(.+[_.-])?spatial|images|ST-imgs", re.IGNORECASE)
_OUTPUT = "outs"
_REASONS = {
  r"aligned_|detected_": "Space Ranger has drawn on it",
  r"cytassist": "the CytAssist's image is grey",
  r"morphology|_dapi|ch\d+_": "fluorescence",
}


def unused(folder: Path, section: str, used: SlideImage | None, *, wanted: bool) -> tuple[str, ...]:
  """ "name: not used, why" for each image beside a section, or in its folders, that is not used.

  Args:
    folder: where the section lies; a name that is no folder begins the names of its files.
    section: its name; where a folder holds images of several sections, those with it in their name.
    wanted: an image was not declined.
  """
  lines = []
  for path in sorted(set(_beside(folder, section))):
    if used is None or path.resolve() != used.path.resolve():
      lines.append(f"{path.name}: not used, {_reason(path, used, wanted)}")
  return tuple(lines)


def _beside(folder: Path, section: str) -> Iterator[Path]:
  several = not folder.is_dir() or (folder / "counts").is_dir() or (folder / "ST-cnts").is_dir()
  name = section if folder.is_dir() else folder.name
  outer = folder if folder.is_dir() else folder.parent
  of_section = re.compile(rf"(^|[^a-z0-9]){re.escape(name)}([^a-z0-9]|$)", re.IGNORECASE)
  places = [outer, *(place for place in visible(outer) if _INNER.fullmatch(place.name))]
  if outer.name == _OUTPUT:
    places.append(outer.parent)
  for place in filter(Path.is_dir, places):
    for path in visible(place):
      named = of_section.search(path.name)
      if _IMAGE.fullmatch(path.name) and not path.is_dir() and (named or not several):
        yield path


def _reason(path: Path, used: SlideImage | None, wanted: bool) -> str:
  if path.is_symlink() and not path.exists():
    return "a broken link"
  if not wanted:
    return "no image is wanted"
  for pattern, reason in _REASONS.items():
    if re.search(pattern, path.name, re.IGNORECASE):
      return reason
  if kind := re.search(r"tissue_(hires|lowres)_image", path.name, re.IGNORECASE):
    if used is None:
      return f"no tissue_{kind[1].lower()}_scalef in scalefactors_json.json says its scale"
    return f"{used.path.name} is finer"
  return "it is not named in column image of the metadata table, nor by --image"
