"""Features that somebody else extracted, e.g. of a pathology foundation model, as one more method.

A table with the columns `section_id`, `spot_id` and one column a dimension (.parquet, .csv, .tsv,
also .gz); or, one file a section, an HDF5 file with `embeddings` and `barcodes` as HEST-Bench
writes them, its name holding `{section}` in place of the section.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from jaxtyping import Float

from data_pipelines.problems import BadInputError
from hibio.evaluation.cohort import Cohort

KEYS = ("section_id", "spot_id")
MIN_COVERAGE = 0.9
"""A method that is missing for more spots than this is not compared on the same ones."""


def read(path: str, spots: pd.DataFrame) -> Float[np.ndarray, "spot width"]:
  """The features of every row of `spots`; rows without one get the mean, if they are few.

  Raises:
    BadInputError: no such file, no key columns, features that are not numbers, or spots missing.
  """
  table = _sections(path, spots) if "{section}" in path else _table(Path(path))
  for key in KEYS:
    if key not in table:
      raise BadInputError(
        path, f"column {key}", f"only {', '.join(map(str, table.columns[:6]))}",
        "the columns section_id and spot_id, then one a dimension", f"add a column {key}",
      )  # fmt: skip
  table = table.astype(dict.fromkeys(KEYS, str)).drop_duplicates(list(KEYS)).set_index(list(KEYS))
  wrong = [str(name) for name in table if not pd.api.types.is_numeric_dtype(table[name])]
  if wrong or not len(table.columns):
    raise BadInputError(
      path, "features", f"text in {', '.join(wrong[:4])}" if wrong else "no column of features",
      "numbers", "leave other columns out",
    )  # fmt: skip
  wanted = pd.MultiIndex.from_frame(spots[list(KEYS)].astype(str))
  values = table.reindex(wanted).to_numpy(np.float32)
  found = np.isfinite(values).all(axis=1)
  if found.mean() < MIN_COVERAGE:
    missing = ", ".join("/".join(wanted[row]) for row in np.flatnonzero(~found)[:3])
    raise BadInputError(
      path, "spots", f"{found.sum():,} of {len(spots):,} (missing: {missing}, ...)",
      f"at least {MIN_COVERAGE:.0%} of the corpus' spots, finite",
      "extract the others, or check section_id and spot_id",
    )  # fmt: skip
  values[~found] = values[found].mean(axis=0)
  return values


def features(path: str, cohort: Cohort) -> Float[np.ndarray, "spot width"]:
  """Features from a file for the spots that have a patch; zero elsewhere.

  Raises:
    BadInputError: as `read`.
  """
  rows = np.flatnonzero(cohort.spots["has_patch"])
  values = read(path, cohort.spots.iloc[rows])
  found = np.zeros((len(cohort.spots), values.shape[1]), np.float32)
  found[rows] = values
  return found


def _table(path: Path) -> pd.DataFrame:
  try:
    if path.suffix == ".parquet":
      return pd.read_parquet(path)
    return pd.read_csv(
      path, sep="\t" if ".tsv" in path.name else ",", dtype=dict.fromkeys(KEYS, str)
    )
  except (OSError, ValueError) as error:
    raise _unreadable(path, error) from error


def _sections(pattern: str, spots: pd.DataFrame) -> pd.DataFrame:
  parts = []
  for section in dict.fromkeys(spots["section_id"]):
    path = Path(pattern.replace("{section}", section))
    try:
      with h5py.File(path) as file:
        values = np.asarray(file["embeddings"], np.float32)
        barcodes = np.asarray(file["barcodes"]).ravel()
    except (OSError, KeyError) as error:
      raise _unreadable(path, error) from error
    names = [b.decode() if isinstance(b, bytes) else str(b) for b in barcodes]
    table = pd.DataFrame(values).rename(columns=str)
    parts.append(table.assign(section_id=section, spot_id=names))
  return pd.concat(parts)


def _unreadable(path: Path, error: Exception) -> BadInputError:
  return BadInputError(
    path, "features", f"not readable ({str(error).splitlines()[0]})",
    "a table (.parquet, .csv, .tsv) or HDF5 with embeddings and barcodes",
    "correct the path or the file",
  )  # fmt: skip
