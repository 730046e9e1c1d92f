"""Which section each spot of an AnnData belongs to.

Files of several slides are put together in many ways, and most of them lose which is which. Spots
of one slide lie each on a place of its own: where they do not, a column must tell slides apart.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from data_pipelines.problems import BadInputError
from data_pipelines.readers import one_slide, placement
from data_pipelines.readers.annotated import places
from data_pipelines.readers.annotated.contents import Contents

LIBRARY_COLUMN = "library_id"
_MOST_PIECES = 12
Where = tuple[np.ndarray | None, np.ndarray, np.ndarray]
"""(row, column) on the array if it is known, (x, y) in pixels, and name of each spot."""


def section_of_spots(
  contents: Contents, column: str | None = None, positions: str = "spots"
) -> np.ndarray:
  """Name of the section of each spot.

  It is the column that is asked for, or `obs["library_id"]`, or the only entry of
  `uns["spatial"]`, or the column of `obs` whose values are its entries; else all spots are one
  section, named after the file. Where spots of such a section share places, lie among each other
  or have barcodes of several slides, a column of `one_slide.SLIDE_COLUMNS` divides it.

  Args:
    column: of `obs`, that is asked for.
    positions: what is known of them; see `readers.placement`.

  Raises:
    BadInputError: no such column, spots without a section, several entries that no column names,
      or a section that must be several slides.
  """
  names = _named(contents, column)
  try:
    where = _where(contents)
  except BadInputError:  # said when the section is read
    return names
  if column is None:
    names = _divided(contents, names, where)
  codes = _codes(names)
  as_is = positions == placement.AS_IS
  shared = one_slide.sharing_a_place(*where, codes, as_is=as_is)
  if one_slide.are_several(shared, codes):
    raise one_slide.refusal(contents.path, *where, shared, _fix(contents, names, where))
  return names


def _where(contents: Contents) -> Where:
  array, positions_px = places.array_positions(contents), places.positions_px(contents)
  return array, positions_px, contents.obs.index.to_numpy(str)


def _named(contents: Contents, column: str | None) -> np.ndarray:
  """What the file, or whoever names a column, says."""
  obs, keys = contents.obs, set(contents.libraries)
  if column is not None and column not in obs:
    raise BadInputError(
      contents.path,
      f"obs[{column!r}]",
      f"only {places.shown(obs.columns)}",
      "a column of sections",
      "correct library_key",
    )
  column = column or (LIBRARY_COLUMN if LIBRARY_COLUMN in obs else None)
  if column is None and len(keys) == 1:
    return np.full(len(obs), next(iter(keys)) or contents.path.stem, dtype=object)
  if column is None and len(keys) > 1:
    column = _column_of(obs, keys)
    if column is None:
      raise BadInputError(
        contents.path,
        "obs",
        f"no column for the {len(keys)} sections of uns['spatial'] "
        f"({places.shown(sorted(keys))}) among {places.shown(obs.columns)}",
        f"a column {LIBRARY_COLUMN} with their names",
        _naming(contents, sorted(keys)),
      )
  if column is None:
    return np.full(len(obs), contents.path.stem or "section", dtype=object)
  if missing := int(obs[column].isna().sum()):
    raise BadInputError(
      contents.path,
      f"obs[{column!r}]",
      f"{missing} spots without a section",
      "one for each spot",
      "fill in the column",
    )
  return _texts(obs[column])


def _naming(contents: Contents, keys: list[str]) -> str:
  """What to do where no column has the names of the libraries; which is whose is not guessed."""
  fix = f"add a column {LIBRARY_COLUMN} with the values {' and '.join(keys[:3])}"
  obs, one = contents.obs, np.zeros(len(contents.obs), dtype=object)
  try:
    telling = _telling(contents, one, _where(contents))
  except BadInputError:
    return fix
  near = [name for name in telling if obs[name].nunique() == len(keys)]
  if not near:
    return fix
  values = " and ".join(sorted(obs[near[0]].astype(str).unique())[:3])
  return (
    f"{fix}, from obs[{near[0]!r}] ({values}) if you know which is which "
    f"(--library_key={near[0]} also divides the spots, and leaves the images out)"
  )


def _column_of(obs: pd.DataFrame, keys: set[str]) -> str | None:
  """The column whose values are the keys; else one with some of them, or with others besides."""
  values = {str(name): set(obs[name].dropna().astype(str)) for name in _of_names(obs)}
  for fits in (set.__eq__, set.issubset, set.issuperset):
    if found := next((name for name, own in values.items() if own and fits(own, keys)), None):
      return found
  return None


def _divided(contents: Contents, names: np.ndarray, where: Where) -> np.ndarray:
  """The names; finer ones where spots show that a section is several slides, and a column says
  which."""
  codes = _codes(names)
  several = one_slide.are_several(one_slide.sharing_a_place(*where, codes), codes)
  for column in one_slide.columns_of(contents.obs.columns):
    if contents.obs[column].isna().any():
      continue
    finer = _within(names, _texts(contents.obs[column]))
    number = len(set(finer.tolist()))
    if number == len(set(names.tolist())) or number > len(finer) / 2:
      continue
    own = _codes(finer)
    if one_slide.are_several(one_slide.sharing_a_place(*where, own), own):
      continue
    if several or _joined(contents.obs.index, finer) or _are_apart(where, own, codes):
      return finer
  return names


def _within(names: np.ndarray, values: np.ndarray) -> np.ndarray:
  """The values as names of sections; each with the section's own where sections share a value."""
  pairs = pd.MultiIndex.from_arrays([names, values]).unique()
  if not pairs.get_level_values(1).has_duplicates:
    return values
  return np.array([f"{a}_{b}" for a, b in zip(names, values, strict=True)], dtype=object)


def _joined(spot_ids: pd.Index, names: np.ndarray) -> bool:
  """Whether each section's barcodes have a prefix or suffix of their own: tables were joined."""
  affixes = [one_slide.SEQUENCE.sub("", str(spot), count=1) for spot in spot_ids]
  return (
    len(set(zip(affixes, names.tolist(), strict=True)))
    == len(set(affixes))
    == len(set(names.tolist()))
  )


def _are_apart(where: Where, finer: np.ndarray, coarser: np.ndarray) -> bool:
  """Whether spots that `finer` tells apart lie among each other, or are drawn side by side, in a
  section of `coarser`.

  Spots with places of their own on one array are of one slide, and so are those that lie among
  each other on one lattice.
  """
  array, positions_px, _ = where
  if one_slide.is_array(array):
    return False
  for code in range(coarser.max() + 1):
    spots = positions_px[coarser == code], finer[coarser == code]
    if one_slide.is_lattice(spots[0]):
      shows = one_slide.lie_side_by_side(*spots)
    else:
      shows = one_slide.lie_among_each_other(*spots)
    if shows:
      return True
  return False


def note_on(contents: Contents, rows: np.ndarray, column: str | None) -> tuple[str, ...]:
  """What to say of a section in which a column that may name slides has several values."""
  positions_px = places.positions_px(contents)[rows]
  for name in one_slide.columns_of(contents.obs.columns):
    values = _texts(contents.obs[name].iloc[rows])
    codes, found = pd.factorize(values)
    if column or not 1 < len(found) <= _MOST_PIECES:
      continue
    if not one_slide.lie_among_each_other(positions_px, codes):
      return (
        f"obs[{name!r}] has {len(found)} values ({places.shown(found)}), whose spots lie apart: "
        f"one section, unless they are slides (--library_key={name})",
      )
  return ()


def _fix(contents: Contents, names: np.ndarray, where: Where) -> str:
  """What to do, with the columns of `obs` that tell the slides apart."""
  if telling := _telling(contents, names, where):
    return f"name the column that tells slides apart (--library_key={' or '.join(telling[:3])})"
  verb, of = ("correct the", "of") if LIBRARY_COLUMN in contents.obs else ("add a", "to")
  return f"{verb} column {LIBRARY_COLUMN} {of} obs, so that it says which slide each spot is of"


def _telling(contents: Contents, names: np.ndarray, where: Where) -> list[str]:
  """The columns of `obs` whose values are each of one slide."""
  telling = []
  for column in _of_names(contents.obs):
    codes = _codes(_within(names, _texts(contents.obs[column])))
    if not 1 <= codes.max() <= len(codes) // 4:
      continue
    if not one_slide.are_several(one_slide.sharing_a_place(*where, codes), codes):
      telling.append(str(column))
  return telling


def _of_names(obs: pd.DataFrame) -> Iterator[str]:
  """Columns that may hold names: of text, categories or whole numbers."""
  return (name for name in obs if not pd.api.types.is_float_dtype(obs[name].dtype))


def _texts(column: pd.Series) -> np.ndarray:
  return column.astype(str).to_numpy(dtype=object)


def _codes(names: np.ndarray) -> np.ndarray:
  return pd.factorize(names)[0]
