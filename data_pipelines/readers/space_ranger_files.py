"""Which file of a Space Ranger folder is what, as the vendor writes it and as people pass it on.

Archives put the name of the sample before every file, gzip them, and lay the files of many samples
into one folder.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from data_pipelines.files import visible
from data_pipelines.problems import BadInputError
from data_pipelines.readers.feature_barcode import MatrixFiles
from data_pipelines.readers.metadata import Entry

POSITION_FILES = ("tissue_positions.parquet", "tissue_positions.csv", "tissue_positions_list.csv")
_IMAGE = r"\.(?:png|jpe?g|tiff?)"
_FILES = {
  "h5": r"(?:(?:filtered|raw)_)?(?:feature_bc_matrix|gene_bc_matrices(?:_h5)?)\.h5",
  "matrix": r"(?:matrix\.mtx|barcodes\.tsv|features\.tsv|genes\.tsv)",
  "positions": r"tissue_positions(?:_list)?\.(?:parquet|csv|txt)",
  "scalefactors": r"scalefactors_json\.json",
  "hires": rf"tissue_hires_image{_IMAGE}",
  "lowres": rf"tissue_lowres_image{_IMAGE}",
}
_PACKED = r"spatial\.(?:tar\.gz|tgz|tar|zip)"
_FOLDER = r"(?:filtered|raw)_feature_bc_matrix"
_PATTERNS = {
  **{kind: rf"{name}(?:\.gz)?" for kind, name in _FILES.items()},
  "packed": _PACKED,
  "folder": _FOLDER,
}
_NAMES = {
  kind: re.compile(rf"(?:(.+?)[_.-]+)?({name})", re.IGNORECASE) for kind, name in _PATTERNS.items()
}
_IN_PREFIX = re.compile(r"[_.-]*(spatial|(filtered|raw)(_feature_bc_matrix)?)$", re.IGNORECASE)
_SPATIAL = re.compile(r"(?:(.+?)[_.-]+)?spatial", re.IGNORECASE)
_COUNTS = ("h5", "folder", "matrix")
_AGGREGATED = "aggr"

Group = Mapping[str, list[Path]]
"""Kind of file -> the files of that kind that have one prefix."""


@dataclasses.dataclass(frozen=True)
class Layout:
  """Which file of a folder is what; None where there is none.

  Attributes:
    prefix: what the names of the section's files begin with; empty where it is nothing.
    one_of_several: the folder holds the files of other sections too, with other prefixes.
    part: end of the barcodes of the section, where a matrix holds several slides.
  """

  folder: Path
  h5: Path | None
  matrix_market: Path | MatrixFiles | None
  filtered: bool
  positions: Path | None
  scalefactors: Path | None
  hires: Path | None
  lowres: Path | None
  packed: Path | None
  prefix: str = ""
  one_of_several: bool = False
  part: str = ""

  def files(self) -> tuple[Path, ...]:
    """Every file the section is read from."""
    market = MatrixFiles.of(self.matrix_market)
    matrix = market.files() if market and not self.h5 else ()
    parts = (self.h5, self.positions, self.scalefactors, self.hires or self.lowres, *matrix)
    return tuple(part for part in parts if part is not None)

  @property
  def is_likely(self) -> bool:
    """Whether there is enough of a Space Ranger output for it to be one."""
    counts = bool(self.h5 or self.matrix_market)
    evidence = [self.positions is not None, counts, self.scalefactors is not None]
    inside = any(evidence) and (self.folder / "spatial").is_dir()
    return sum(evidence) >= 2 or inside or (counts and self.packed is not None)


def layouts_of(folder: Path) -> list[Layout]:
  """The sections of a Space Ranger output folder; none if it does not look like one.

  There are several where files with several prefixes hold counts and positions each.

  Raises:
    BadInputError: files of several sections of which it is unclear which belong together.
  """
  groups = _groups(folder)
  placed = {name for name, group in groups.items() if "positions" in group or "packed" in group}
  whole = [name for name, group in groups.items() if _has_counts(group) and name in placed]
  if len(whole) < 2:
    layout = _layout(folder, _merged(folder, groups), next(iter(whole), ""))
    return [layout] if layout.is_likely else []
  several = (_layout(folder, groups[name], name) for name in whole)
  return [dataclasses.replace(layout, one_of_several=True) for layout in several]


def layout_in(folder: Path) -> Layout:
  """Which file of a folder is what, whether or not it looks like Space Ranger's."""
  return _layout(folder, _merged(folder, _groups(folder)), "")


def _groups(folder: Path) -> dict[str, Group]:
  """Prefix -> its files. A group without counts joins the one whose prefix begins or ends alike."""
  groups: dict[str, dict[str, list[Path]]] = collections.defaultdict(dict)
  for path, folder_prefix in _paths(folder):
    for kind, pattern in _NAMES.items():
      found = pattern.fullmatch(path.name)
      if found and path.is_dir() == (kind == "folder"):
        prefix = _IN_PREFIX.sub("", found[1] or "") or folder_prefix
        if prefix != _AGGREGATED:
          groups[prefix].setdefault(kind, []).append(path)
        break
  for name in [name for name, group in groups.items() if name and not _has_counts(group)]:
    alike = [other for other in groups if _has_counts(groups[other]) and _alike(name, other)]
    if len(alike) == 1:
      for kind, paths in groups.pop(name).items():
        groups[alike[0]].setdefault(kind, []).extend(paths)
  return groups


def _paths(folder: Path) -> Iterator[tuple[Path, str]]:
  """What lies in the folder, and in those for places and images, which may have a prefix too."""
  places = [(folder, "")]
  for path in visible(folder):
    if path.is_dir() and (found := _SPATIAL.fullmatch(path.name)):
      prefix = found[1] or ""
      places += [(place, prefix) for place in (path, path / "spatial") if place.is_dir()]
  return ((path, prefix) for place, prefix in places for path in visible(place))


def _alike(one: str, other: str) -> bool:
  shorter, longer = sorted((one, other), key=len)
  rest = longer[len(shorter) :]
  return bool(shorter) and longer.startswith(shorter) and not rest[:1].isalnum()


def _has_counts(group: Group) -> bool:
  return any(kind in group for kind in _COUNTS)


def _merged(folder: Path, groups: Mapping[str, Group]) -> Group:
  """One group of all: of each kind the files without a prefix, else those of the only prefix.

  Raises:
    BadInputError: files of one kind with several prefixes.
  """
  merged: dict[str, list[Path]] = {}
  for kind in _NAMES:
    prefixes = [name for name in groups if kind in groups[name]]
    if len(prefixes) > 1 and "" not in prefixes:
      paths = [groups[name][kind][0] for name in prefixes]
      raise BadInputError(
        folder,
        paths[0].name.removeprefix(prefixes[0]).lstrip("_.-"),
        f"{len(paths)} of them ({paths[0].name}, {paths[1].name})",
        "the files of one section in one folder",
        "put every section into its own folder",
      )
    if prefixes:
      merged[kind] = groups["" if "" in prefixes else prefixes[0]][kind]
  return merged


def _layout(folder: Path, group: Group, prefix: str) -> Layout:
  h5, market, filtered = None, None, False
  for word in ("filtered", "raw", ""):
    h5, market = _with(group, "h5", word), _with(group, "folder", word)
    if h5 or market:
      filtered = word == "filtered"
      break
  else:
    market = _loose(group)
  return Layout(
    folder=folder,
    h5=h5,
    matrix_market=market,
    filtered=filtered,
    positions=_best(group, "positions", POSITION_FILES),
    scalefactors=_best(group, "scalefactors"),
    hires=_best(group, "hires", (".png",)),
    lowres=_best(group, "lowres", (".png",)),
    packed=_best(group, "packed"),
    prefix=prefix,
  )


def _with(group: Group, kind: str, word: str) -> Path | None:
  """The first file of a kind that has this word in its name."""
  return next((path for path in group.get(kind, ()) if word in path.name.lower()), None)


def _best(group: Group, kind: str, words: Sequence[str] = ()) -> Path | None:
  """The file of a kind whose name has the first of these words, else the next, else any."""
  return next(filter(None, (_with(group, kind, word) for word in (*words, ""))), None)


def _loose(group: Group) -> MatrixFiles | None:
  """The three files of a matrix that lie beside the others."""
  if "matrix" not in group:
    return None
  path = group["matrix"][0]
  begin = _NAMES["matrix"].fullmatch(path.name).start(2)
  return MatrixFiles(path.parent, path.name[:begin])


def label_candidates(layout: Layout, entry: Entry) -> list[Path]:
  """Tables of two columns, the first of barcodes, beside the counts."""
  if entry.labels is not None:
    return []
  folder = layout.folder
  places = [folder, folder.parent] if folder.name == "outs" else [folder]
  candidates = []
  begins = f"{layout.prefix}*" if layout.one_of_several else "*"
  endings = (f"{begins}.tsv", f"{begins}.csv")
  for path in sorted(p for place in places for e in endings for p in visible(place, e)):
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
      p for p in visible(folder, f"*[_.-]{name}") if (p.is_dir() if directory else p.is_file())
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
