"""SpatialData stores: places by their transformations, and stores that must not be read."""

import importlib.util
import json
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from data_pipelines import readers
from data_pipelines.problems import BadInputError
from data_pipelines.readers import zarr_store

ROW, COLUMN = np.divmod(np.arange(64), 8)
PX = np.stack([300 + 100 * COLUMN + 50 * (ROW % 2), 200 + 100 * np.sqrt(0.75) * ROW], 1) / 2
COUNTS = np.random.default_rng(0).poisson(1.0, (64, 25)) + 1
SHRUNK = 1.5
"""Full-size pixels per pixel of the image."""


def write(path, counts=COUNTS, channels=3, **obs):
  """A Visium slide at 2 um per pixel, with an image that is smaller than full size."""
  anndata = pytest.importorskip("anndata")
  reason = "without spatialdata: NOT checked on a store that it writes"
  spatialdata = pytest.importorskip("spatialdata", reason=reason)
  from spatialdata.models import Image2DModel, ShapesModel, TableModel
  from spatialdata.transformations import Scale

  names = [f"s{n}" for n in range(64)]
  shapes = ShapesModel.parse(PX, geometry=0, radius=13.75, index=pd.Index(names)).iloc[::-1]
  table = anndata.AnnData(
    scipy.sparse.csr_matrix(counts, dtype=np.float32),
    obs=pd.DataFrame(
      {
        "region": pd.Categorical(["spots"] * 64),
        "instance_id": names,
        "array_row": ROW,
        "array_col": 2 * COLUMN + ROW % 2,
      }
      | obs,
      index=[f"b{n}" for n in range(64)],
    ),
    var=pd.DataFrame(index=[f"GENE{n}" for n in range(25)]),
  )
  table.obsm["spatial"] = np.zeros((64, 2))  # of some other coordinate system
  table = TableModel.parse(table, region="spots", region_key="region", instance_key="instance_id")
  pixels = np.random.default_rng(0).integers(0, 255, (channels, 400, 600)).astype(np.uint8)
  onto = {"global": Scale([SHRUNK, SHRUNK], axes=("x", "y"))}
  image = Image2DModel.parse(pixels, dims=("c", "y", "x"), transformations=onto)
  data = spatialdata.SpatialData({"he": image}, shapes={"spots": shapes}, tables={"table": table})
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    data.write(path)
  return pixels


@pytest.fixture(autouse=True)
def quiet():
  """What the library and those below it warn of is theirs."""
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    yield


def test_counts_places_and_image_of_a_store_come_back_together(tmp_path):
  pixels = write(tmp_path / "S1.zarr")
  (section,) = readers.read_sections(tmp_path)
  assert (section.section_id, section.platform) == ("S1", "spatialdata")
  np.testing.assert_array_equal(section.counts.toarray(), COUNTS)
  np.testing.assert_allclose(section.positions_px, PX / SHRUNK)
  assert section.um_per_px == pytest.approx(2 * SHRUNK)
  crops = list(section.image.crops(np.array([[100.0, 50.0]]), 20.0, 20))
  np.testing.assert_array_equal(crops[0], np.moveaxis(pixels, 0, -1)[40:60, 90:110])


def test_an_image_of_other_channels_is_said_to_be_unused(tmp_path):
  write(tmp_path / "S1.zarr", channels=2)
  (section,) = readers.read_sections(tmp_path)
  assert section.image is None
  assert any("image he is not used: it has 2 channels" in note for note in section.notes)


def test_without_its_image_positions_stay_in_the_coordinate_system(tmp_path):
  write(tmp_path / "S1.zarr")
  (section,) = readers.read_sections(tmp_path, words=readers.Words(image="none"))
  assert section.image is None
  np.testing.assert_allclose(section.positions_px, PX)
  assert section.um_per_px == pytest.approx(2)


def test_spots_of_a_store_are_pooled_to_squares_where_a_pitch_is_given(tmp_path):
  write(tmp_path / "S1.zarr")
  (section,) = readers.read_sections(tmp_path, words=readers.Words(pitch_um=250.0))
  assert section.counts.sum() == COUNTS.sum()
  square = np.floor(section.positions_um / 250).astype(int)
  np.testing.assert_array_equal(square[:, ::-1], section.array_positions)
  of_spot = np.floor(2 * PX / 250).astype(int)
  for place, row in zip(square, section.counts.toarray(), strict=True):
    np.testing.assert_array_equal(row, COUNTS[(of_spot == place).all(axis=1)].sum(axis=0))
  with pytest.raises(BadInputError, match="100 um apart"):
    readers.read_sections(tmp_path, words=readers.Words(pitch_um=55.0))


def test_spots_without_a_place_and_counts_that_are_not_raw_are_refused(tmp_path):
  write(tmp_path / "a.zarr", instance_id=[f"s{n}" for n in range(63)] + ["other"])
  write(tmp_path / "b.zarr", counts=np.log1p(COUNTS))
  found = {}
  for source in readers.open_sections(tmp_path):
    with pytest.raises(BadInputError) as problem:
      source.read()
    found[source.section_id] = str(problem.value)
  assert "region spots" in found["a"]
  assert "raw" in found["b"]


@pytest.mark.skipif(
  importlib.util.find_spec("spatialdata") is not None, reason="spatialdata is installed"
)
def test_without_the_package_the_fix_installs_it(tmp_path):
  store = tmp_path / "S1.zarr"
  anndata = pytest.importorskip("anndata")
  table = anndata.AnnData(np.ones((2, 2)))
  table.uns["spatialdata_attrs"] = {"region": "spots"}
  (store / "tables").mkdir(parents=True)
  table.write_zarr(store / "tables" / "table")
  (store / ".zgroup").write_text('{"zarr_format": 2}')
  with pytest.raises(BadInputError, match="pip install"):
    readers.read_sections(store)


def array(**changed):
  return {
    "zarr_format": 2,
    "shape": [4],
    "chunks": [4],
    "dtype": "|O",
    "compressor": None,
  } | changed


@pytest.mark.parametrize(
  ("content", "field"),
  [
    (array(filters=[{"id": "vlen-utf8"}, {"id": "pickle"}]), "filters"),
    (array(compressor={"id": "something"}), "compressor"),
    (array(shape=[10**7, 10**7]), "shape"),
    ({"metadata": {"x/.zarray": array(filters=[{"id": "pickle"}])}}, "filters"),
    ({"codecs": [{"name": "sharding_indexed", "configuration": {
      "codecs": [{"name": "numcodecs.pickle"}]}}]}, "codecs"),
    ("{", "JSON"),
  ],
)  # fmt: skip
@pytest.mark.parametrize("name", [".zarray", "zarr.json", ".zmetadata"])
def test_a_store_that_must_not_be_read_is_refused_by_its_metadata(tmp_path, content, field, name):
  store = tmp_path / "S1.zarr"
  (store / "tables" / "table" / "X").mkdir(parents=True)
  (store / ".zgroup").write_text('{"zarr_format": 2}')
  text = content if isinstance(content, str) else json.dumps(content)
  (store / "tables" / "table" / "X" / name).write_text(text)
  with pytest.raises(BadInputError) as problem:
    readers.read_sections(tmp_path)
  assert problem.value.field == field
  assert "\n" not in str(problem.value)


def test_a_link_out_of_a_store_is_refused_and_one_within_is_not(tmp_path):
  (tmp_path / "secret").write_text("x")
  store = tmp_path / "S1.zarr"
  store.mkdir()
  (store / "data").write_text("x")
  (store / "within").symlink_to(store / "data")
  zarr_store.check(store)
  (store / "out").symlink_to(tmp_path / "secret")
  with pytest.raises(BadInputError, match="a link out of the store"):
    zarr_store.check(store)
