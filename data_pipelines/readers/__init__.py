"""From folders as platforms write them to `Section`s: what is there is found first, read later."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path

from data_pipelines.problems import BadInputError
from data_pipelines.readers import anndata, legacy_st, space_ranger
from data_pipelines.readers.metadata import Entry, read_metadata
from data_pipelines.readers.source import READER_VERSION, SectionSource
from data_pipelines.section import Section

__all__ = ["READER_VERSION", "SectionSource", "open_sections", "read"]

_MOST_FOLDERS = 20_000
_DEPTH = 5
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")
_OTHER_PLATFORMS = {
  "cell_feature_matrix.h5": "a Xenium output",
  "experiment.xenium": "a Xenium output",
  "exprmat_file.csv": "a CosMx output",
  "cell_by_gene.csv": "a MERSCOPE output",
}


def open_sections(
  path: str | os.PathLike, metadata: str | os.PathLike | None = None
) -> list[SectionSource]:
  """The sections of a folder, by name; none of them is read yet.

  Args:
    path: one section, or a folder of many: Space Ranger output folders at any depth up to five, a
      folder of legacy ST with `counts` and `spots`, or `.h5ad` files; or one such file.
    metadata: table with a column `section`; else `metadata.csv` or `metadata.tsv` in `path`.

  Raises:
    BadInputError: no section is found, two have one name, or the table is of other sections.
  """
  root = Path(path).expanduser()
  if root.is_file() and root.suffix == anndata.SUFFIX:
    entries = _entries(root.parent, metadata)
    sources = list(anndata.sources_of(root, entries))
  elif not root.is_dir():
    raise _no_folder(root)
  else:
    root = _above_inner_folder(root)
    entries = _entries(root, metadata)
    sources = list(_sources(root, entries))
  if not sources:
    raise _nothing_found(root)
  by_id: dict[str, SectionSource] = {}
  for source in sorted(sources, key=lambda s: s.section_id):
    if source.section_id in by_id:
      raise BadInputError(
        root, "sections", f"{source.section_id} twice ({by_id[source.section_id].path} and "
        f"{source.path})", "each section once", "rename one of the folders",
      )  # fmt: skip
    by_id[source.section_id] = source
  known = {s.entry.section for s in by_id.values() if s.entry.table is not None}
  if entries and not known:
    raise BadInputError(
      next(iter(entries.values())).table, "section",
      f"{', '.join(list(entries)[:3])}", f"names of sections: {', '.join(list(by_id)[:3])}",
      "write the names as the folders or count files have them",
    )  # fmt: skip
  return list(by_id.values())


def read(path: str | os.PathLike, metadata: str | os.PathLike | None = None) -> list[Section]:
  """Every section of a folder, as `open_sections` finds them; all of them in memory."""
  return [source.read() for source in open_sections(path, metadata)]


def _entries(root: Path, metadata: str | os.PathLike | None) -> dict[str, Entry]:
  if metadata is not None:
    return read_metadata(Path(metadata).expanduser(), root)
  for name in ("metadata.csv", "metadata.tsv"):
    if (root / name).is_file():
      return read_metadata(root / name, root)
  return {}


def _sources(root: Path, entries: dict[str, Entry]) -> Iterator[SectionSource]:
  waiting, seen = [(root, 0)], set()
  while waiting:
    folder, depth = waiting.pop(0)
    real = folder.resolve()
    if real in seen or len(seen) > _MOST_FOLDERS:
      continue
    seen.add(real)
    if layouts := legacy_st.layouts_of(folder):
      yield from (legacy_st.source_of(layout, entries) for layout in layouts)
      continue
    if layout := space_ranger.layout_of(folder):
      yield space_ranger.source_of(layout, entries)
      continue
    for file in sorted(folder.glob(f"*{anndata.SUFFIX}")):
      yield from anndata.sources_of(file, entries)
    inner = space_ranger.binned_folders(folder) or _folders_in(folder)
    if depth < _DEPTH:
      waiting += [(child, depth + 1) for child in inner]


def _folders_in(folder: Path) -> list[Path]:
  try:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
  except PermissionError as error:
    raise BadInputError(
      folder, "folder", "not readable", "a readable folder", "check its permissions"
    ) from error


def _above_inner_folder(root: Path) -> Path:
  """The section's folder, where a folder inside it was given."""
  above = root.resolve().parent
  if root.name == "spatial" and space_ranger.layout_of(above):
    return above
  if root.name in ("counts", "spots", "ST-cnts", "ST-spotfiles") and legacy_st.layouts_of(above):
    return above
  return root


def _no_folder(root: Path) -> BadInputError:
  if root.is_file():
    packed = root.name.endswith(_ARCHIVES)
    return BadInputError(
      root, "input", "an archive" if packed else "a file", "a folder of sections or an .h5ad file",
      "unpack it first" if packed else "give the folder it lies in",
    )  # fmt: skip
  if root.is_symlink():
    return BadInputError(root, "input", "a broken link", "a folder", "correct the link")
  beside = [p.name for p in root.parent.iterdir()] if root.parent.is_dir() else []
  near = difflib.get_close_matches(root.name, beside, n=1)
  fix = f"did you mean {root.parent / near[0]}?" if near else "correct the path"
  return BadInputError(root, "input", "no such folder", "a folder of sections", fix)


def _nothing_found(root: Path) -> BadInputError:
  there = sorted(p.name for p in root.iterdir())
  for path in root.rglob("*"):
    for ending, platform in _OTHER_PLATFORMS.items():
      if path.name.lower().endswith(ending):
        return BadInputError(
          path.parent, "platform", platform, "Visium (Space Ranger) or legacy ST",
          "these cells are not read yet; pool them to spots and write a Space Ranger folder",
        )  # fmt: skip
  packed = next((name for name in there if name.endswith(_ARCHIVES)), None)
  return BadInputError(
    root,
    "folder",
    f"only {', '.join(there[:6]) or 'nothing'}",
    "Space Ranger folders (feature_bc_matrix and spatial), legacy ST (counts and spots) or .h5ad",
    f"unpack {packed} first" if packed else "give the folder that holds them",
  )
