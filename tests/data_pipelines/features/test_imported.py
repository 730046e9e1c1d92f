import h5py
import numpy as np
import pandas as pd
import pytest

from data_pipelines.features import imported
from data_pipelines.problems import BadInputError

IMAGE = {"width_px": 500, "path": "", "inside": ""}
SECTIONS = [
  {"section_id": name, "has_image": True, "um_per_px": 2.0, "image": IMAGE} for name in ("a", "b")
]


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
  found = imported.read(str(path), spots, SECTIONS).values
  np.testing.assert_array_equal(found, [[1, 4], [2, 5], [3, 6]])


def test_one_hdf5_a_section_as_hest_bench_writes_it(tmp_path, spots, table):
  for section, rows in table.groupby("section_id"):
    with h5py.File(tmp_path / f"{section}.h5", "w") as file:
      file["embeddings"] = rows[["f0", "f1"]].to_numpy(np.float32)
      file["barcodes"] = rows["spot_id"].to_numpy().astype("S")[:, None]
  found = imported.read(str(tmp_path / "{section}.h5"), spots, SECTIONS).values
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
    imported.read(str(path), spots, SECTIONS)


def test_a_missing_file_is_one_clear_line(tmp_path, spots):
  with pytest.raises(BadInputError, match="not readable"):
    imported.read(str(tmp_path / "none.parquet"), spots, SECTIONS)


@pytest.fixture
def placed() -> pd.DataFrame:
  """Sixteen spots, 20 pixels apart, on a slide of 500 pixels."""
  y, x = np.divmod(np.arange(16), 4)
  ids = [f"s{n}" for n in range(16)]
  return pd.DataFrame({"section_id": "a", "spot_id": ids, "x_px": 20.0 * x, "y_px": 20.0 * y})


def patches(path, name, about, keep=slice(None), scale=1.0):
  """Patches of 20 pixels, one centred 6 pixels right of each spot; each holds its own number."""
  y, x = np.divmod(np.arange(16), 4)
  corners = scale * (np.stack([20.0 * x + 6, 20.0 * y], 1) - 10)
  path.parent.mkdir(exist_ok=True)
  with h5py.File(path, "w") as file:
    file["coords"] = np.round(corners[keep]).astype(int)
    file["coords"].attrs.update(about)
    if name:
      file[name] = np.arange(16.0)[keep, None]


ONE = SECTIONS[:1]


@pytest.mark.parametrize(
  ("about", "scale"),
  [
    ({"patch_size_level0": 20}, 1.0),  # TRIDENT
    ({"patch_size_level0": 80, "patch_size": 256, "level0_width": 2000}, 4.0),
    ({"patch_size": 10, "patch_level": 1, "downsample": (2.0, 2.0)}, 1.0),  # CLAM
  ],
)
def test_a_spot_has_the_features_of_the_patch_it_lies_in(tmp_path, placed, about, scale):
  patches(tmp_path / "a.h5", "features", about, scale=scale)
  found = imported.read(str(tmp_path / "{section}.h5"), placed, ONE)
  np.testing.assert_array_equal(found.values[:, 0], np.arange(16))


def test_spots_beside_every_patch_are_unknown_and_too_many_are_refused(tmp_path, placed):
  patches(tmp_path / "a.h5", "features", {"patch_size_level0": 20}, slice(1, None))
  found = imported.read(str(tmp_path / "{section}.h5"), placed, ONE)
  np.testing.assert_array_equal(found.known, np.arange(16) > 0)
  near = imported.read(str(tmp_path / "{section}.h5"), placed, ONE, tolerance_um=12.1)
  np.testing.assert_array_equal(near.known, found.known)
  with pytest.raises(BadInputError, match=r"spots: found 0 of 16 \(missing: a/s0"):
    imported.read(str(tmp_path / "{section}.h5"), placed, ONE, tolerance_um=11.9)
  patches(tmp_path / "a.h5", "features", {"patch_size_level0": 20}, slice(2, None))
  with pytest.raises(BadInputError, match=r"spots: found 14 of 16 .*at least 90%"):
    imported.read(str(tmp_path / "{section}.h5"), placed, ONE)


def test_tensors_are_placed_by_the_patches_beside_them(tmp_path, placed):
  (tmp_path / "pt_files").mkdir()
  pattern = str(tmp_path / "pt_files" / "{section}.pt")
  (tmp_path / "pt_files" / "a.pt").touch()

  def tensors(path):
    return {"": np.arange(16, dtype=np.float16)[:, None]}

  with pytest.raises(BadInputError, match=r"no a.h5 with coords of 16 patches beside it"):
    imported.read(pattern, placed, ONE, tensors)
  patches(tmp_path / "patches" / "a.h5", "", {"patch_size": 20, "patch_level": 0})
  found = imported.read(pattern, placed, ONE, tensors)
  np.testing.assert_array_equal(found.values[:, 0], np.arange(16))


def test_barcodes_may_differ_by_their_suffix(tmp_path, placed):
  codes = [f"ACGTACGTACGTAC{'ACGT'[n % 4]}{'ACGT'[n // 4]}" for n in range(16)]
  with h5py.File(tmp_path / "a.h5", "w") as file:
    file["embeddings"] = np.arange(16.0)[::-1, None]
    file["barcodes"] = np.array([f"{code}-1" for code in reversed(codes)], "S")
    file.attrs["encoder"] = "uni_v1"
  found = imported.read(str(tmp_path / "{section}.h5"), placed.assign(spot_id=codes), ONE)
  np.testing.assert_array_equal(found.values[:, 0], np.arange(16))
  assert found.encoder == "uni_v1"


def test_sections_without_an_image_may_have_no_file(tmp_path, spots, table):
  with h5py.File(tmp_path / "a.h5", "w") as file:
    file["embeddings"] = table[["f0"]].to_numpy(np.float32)[:2]
    file["barcodes"] = np.array(["1", "2"], "S")
  bare = [SECTIONS[0], SECTIONS[1] | {"has_image": False, "image": None}]
  found = imported.read(str(tmp_path / "{section}.h5"), spots, bare)
  np.testing.assert_array_equal(found.known, [True, True, False])
  with pytest.raises(BadInputError, match=r"b.h5: features: found not readable"):
    imported.read(str(tmp_path / "{section}.h5"), spots, SECTIONS)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ({"x": np.zeros(3)}, "content: found only x"),
    ({"features": np.zeros((2, 4)), "barcodes": np.array([b"1"])}, "rows: found 2 of features"),
    ({"features": np.zeros(2), "barcodes": np.array([b"1", b"2"])}, r"shape \(2,\)"),
    ({"features": np.zeros((2, 4)), "coords": np.zeros((2, 2))}, "patch_size_level0"),
  ],
)
def test_hdf5_of_another_form_is_refused_by_what_is_wrong(tmp_path, placed, content, message):
  with h5py.File(tmp_path / "a.h5", "w") as file:
    for name, values in content.items():
      file[name] = values
  with pytest.raises(BadInputError, match=message):
    imported.read(str(tmp_path / "{section}.h5"), placed, ONE)
