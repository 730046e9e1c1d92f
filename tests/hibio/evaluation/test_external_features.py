import h5py
import numpy as np
import pandas as pd
import pytest

from data_pipelines.problems import BadInputError
from hibio.evaluation.baselines import external


@pytest.fixture
def spots() -> pd.DataFrame:
  return pd.DataFrame({"section_id": ["a", "a", "b"], "spot_id": ["1", "2", "1"]})


@pytest.fixture
def table(spots) -> pd.DataFrame:
  return spots.assign(f0=[1.0, 2.0, 3.0], f1=[4.0, 5.0, 6.0])


@pytest.mark.parametrize("name", ["f.csv", "f.tsv.gz", "f.parquet"])
def test_rows_come_in_the_order_of_the_spots_whatever_the_order_in_the_file(
  tmp_path, spots, table, name
):
  path, shuffled = tmp_path / name, table.iloc[::-1]
  if name.endswith("parquet"):
    shuffled.to_parquet(path)
  else:
    shuffled.to_csv(path, sep="\t" if "tsv" in name else ",", index=False)
  found = external.read(str(path), spots)
  np.testing.assert_array_equal(found, [[1, 4], [2, 5], [3, 6]])


def test_one_hdf5_a_section_as_hest_bench_writes_it(tmp_path, spots, table):
  for section, rows in table.groupby("section_id"):
    with h5py.File(tmp_path / f"{section}.h5", "w") as file:
      file["embeddings"] = rows[["f0", "f1"]].to_numpy(np.float32)
      file["barcodes"] = rows["spot_id"].to_numpy().astype("S")[:, None]
  found = external.read(str(tmp_path / "{section}.h5"), spots)
  np.testing.assert_array_equal(found, [[1, 4], [2, 5], [3, 6]])


@pytest.mark.parametrize(
  ("change", "field"),
  [
    (lambda t: t.drop(columns="spot_id"), "spot_id"),
    (lambda t: t.assign(f0=["x", "y", "z"]), "features"),
    (lambda t: t[["section_id", "spot_id"]], "features"),
    (lambda t: t.iloc[:1], "spots"),
    (lambda t: t.assign(f0=np.nan), "spots"),
  ],
)
def test_what_cannot_be_compared_is_refused_by_name(tmp_path, spots, table, change, field):
  path = tmp_path / "f.csv"
  change(table).to_csv(path, index=False)
  with pytest.raises(BadInputError, match=field):
    external.read(str(path), spots)


def test_a_missing_file_is_one_clear_line(tmp_path, spots):
  with pytest.raises(BadInputError, match="not readable"):
    external.read(str(tmp_path / "none.parquet"), spots)
