"""Hostile and damaged HDF5 files, each made here."""

import h5py
import numpy as np
import pytest

from data_pipelines.hdf5_safety import csr_from_columns, open_hdf5
from data_pipelines.problems import BadInputError


def read(path):
  with open_hdf5(path) as file:
    return {name: file[name][()] for name in file}


def external_link(file, folder):
  file["secret"] = h5py.ExternalLink("other.h5", "/x")


def external_storage(file, folder):
  (folder / "secret.bin").write_bytes(b"12345678")
  file.create_dataset("x", (8,), "u1", external=[(str(folder / "secret.bin"), 0, 8)])


def virtual_dataset(file, folder):
  with h5py.File(folder / "other.h5", "w") as other:
    other["x"] = np.arange(4)
  layout = h5py.VirtualLayout((4,), "i8")
  layout[:] = h5py.VirtualSource(folder / "other.h5", "x", (4,))
  file.create_virtual_dataset("x", layout)


def shape_bomb(file, folder):
  file.create_dataset("x", (10**13,), "i4", chunks=(1024,), compression="gzip")


def plugin_filter(file, folder):
  plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
  plist.set_chunk((4,))
  plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
  h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_INT32, h5py.h5s.create_simple((4,)), dcpl=plist)


@pytest.mark.parametrize(
  ("make", "found"),
  [
    (external_link, "link into another file"),
    (external_storage, "kept in another file"),
    (virtual_dataset, "virtual dataset"),
    (shape_bomb, "bytes declared"),
    (plugin_filter, "filter 32015"),
  ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_content_that_must_not_be_read_is_refused(tmp_path, make, found, nested):
  path = tmp_path / "m.h5"
  with h5py.File(path, "w") as file:
    make(file.create_group("deep/er") if nested else file, tmp_path)
  with pytest.raises(BadInputError, match=found):
    read(path)


def test_an_honest_compressed_file_passes_and_a_group_that_contains_itself_ends(tmp_path):
  path = tmp_path / "m.h5"
  with h5py.File(path, "w") as file:
    file.create_dataset("x", data=np.zeros(10**6, np.int32), compression="gzip")
    file.create_dataset("name", data=["a", "b"])
    group = file.create_group("g")
    group["again"] = file["/"]
    group["nowhere"] = h5py.SoftLink("/absent")
  with open_hdf5(path) as file:
    assert file["x"][()].sum() == 0


@pytest.mark.parametrize(
  ("content", "found"),
  [
    (b"", "empty"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "LFS"),
    (b"<!DOCTYPE html><html>", "web page"),
    (b"PK\x03\x04", "not an HDF5"),
  ],
)
def test_what_is_no_hdf5_file_is_called_by_its_name(tmp_path, content, found):
  path = tmp_path / "m.h5"
  path.write_bytes(content)
  with pytest.raises(BadInputError, match=found):
    read(path)


def test_a_file_cut_short_is_called_damaged(tmp_path):
  path = tmp_path / "m.h5"
  with h5py.File(path, "w") as file:
    file["x"] = np.arange(1000)
  path.write_bytes(path.read_bytes()[:3000])
  with pytest.raises(BadInputError, match="damaged.*truncated"):
    read(path)


def test_a_damaged_tree_inside_a_file_of_the_right_length_is_one_error(tmp_path):
  path = tmp_path / "m.h5"
  with h5py.File(path, "w") as file:
    file["matrix/data"] = np.arange(1000)
  content = path.read_bytes()
  path.write_bytes(content.replace(b"TREE", b"EERT"))
  with pytest.raises(BadInputError, match="damaged"):
    read(path)


GOOD = {"data": [1, 2, 3], "indices": [0, 2, 1], "indptr": [0, 2, 3], "shape": (3, 2)}


def matrix(tmp_path, **changed):
  parts = GOOD | changed
  shape = parts.pop("shape")
  return csr_from_columns(
    **{name: np.array(v) for name, v in parts.items()}, shape=shape, path=tmp_path
  )


def test_a_compressed_column_matrix_comes_back_with_its_columns_as_rows(tmp_path):
  np.testing.assert_array_equal(matrix(tmp_path).toarray(), [[1, 0, 2], [0, 3, 0]])
  as_float = matrix(tmp_path, indptr=[0.0, 2.0, 3.0], indices=[0.0, 2.0, 1.0])
  np.testing.assert_array_equal(as_float.toarray(), [[1, 0, 2], [0, 3, 0]])


@pytest.mark.parametrize(
  "changed",
  [
    {"indices": [0, 3, 1]},
    {"indices": [0, -1, 1]},
    {"indices": [0, 1]},
    {"indptr": [0, 3]},
    {"indptr": [1, 2, 3]},
    {"indptr": [0, 4, 3]},
    {"indptr": [0, 2, 9]},
    {"indptr": [0.0, 1.5, 3.0]},
    {"indptr": [0.0, float("nan"), 3.0]},
  ],
)
def test_indices_that_would_crash_the_process_are_refused(tmp_path, changed):
  with pytest.raises(BadInputError):
    matrix(tmp_path, **changed)
