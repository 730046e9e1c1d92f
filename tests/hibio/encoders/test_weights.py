"""Files of weights come out as the arrays that went in, and nothing in them is run."""

import io
import json
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest

from data_pipelines.problems import BadInputError
from hibio.encoders import weights

MATRIX = np.arange(12, dtype=np.float32).reshape(3, 4)
HALVES = np.asarray([0.5, -2.0], ml_dtypes.bfloat16)


def _bare(value) -> bytes:
  """A value's pickle without its head and its stop."""
  return pickle.dumps(value, 2)[2:-1]


def _pickled(*, size=(4, 3), offset=0, called=b"ctorch._utils\n_rebuild_tensor_v2\n") -> bytes:
  """What torch.save makes of {"epoch": 3, "model": {"matrix": MATRIX.T, "halves": HALVES}}."""

  def tensor(kind: bytes, key: str, offset: int, size: tuple, stride: tuple) -> bytes:
    storage = b"(" + _bare("storage") + b"ctorch\n" + kind + b"\n" + _bare(key) + _bare("cpu")
    storage += _bare(12) + b"tQ"
    hooks = b"ccollections\nOrderedDict\n)R"
    rest = _bare(offset) + _bare(size) + _bare(stride) + _bare(False) + hooks
    return called + b"(" + storage + rest + b"tR"

  model = b"}(" + _bare("matrix") + tensor(b"FloatStorage", "7", offset, size, (1, 4))
  model += _bare("halves") + tensor(b"BFloat16Storage", "8", 0, (2,), (1,)) + b"u"
  return b"\x80\x02}(" + _bare("epoch") + _bare(3) + _bare("model") + model + b"u."


def _zip(path, pickled: bytes):
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("archive/data.pkl", pickled)
    archive.writestr("archive/data/7", MATRIX.tobytes())
    archive.writestr("archive/data/8", HALVES.tobytes())
  return path


def _legacy(path, pickled: bytes):
  file = io.BytesIO()
  pickle.dump(weights._LEGACY_MAGIC, file, 2)
  pickle.dump(1001, file, 2)
  pickle.dump({"little_endian": True}, file, 2)
  file.write(pickled)
  pickle.dump(["8", "7"], file, 2)
  for storage in (HALVES, MATRIX.reshape(-1)):
    file.write(len(storage).to_bytes(8, "little") + storage.tobytes())
  path.write_bytes(file.getvalue())
  return path


@pytest.mark.parametrize("write", [_zip, _legacy])
def test_tensors_of_torch_files_come_out_by_name(tmp_path, write):
  found = weights.read(write(tmp_path / "model.bin", _pickled()))
  assert set(found) == {"model.matrix", "model.halves"}
  np.testing.assert_array_equal(found["model.matrix"], MATRIX.T)
  np.testing.assert_array_equal(found["model.halves"], HALVES)
  assert found["model.halves"].dtype == ml_dtypes.bfloat16


def test_tensors_of_safetensors_come_out_by_name(tmp_path):
  header = json.dumps({
    "__metadata__": {"format": "pt"},
    "halves": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]},
    "matrix": {"dtype": "F32", "shape": [3, 4], "data_offsets": [4, 52]},
  }).encode()  # fmt: skip
  path = tmp_path / "model.safetensors"
  path.write_bytes(len(header).to_bytes(8, "little") + header + HALVES.tobytes() + MATRIX.tobytes())
  found = weights.read(path)
  np.testing.assert_array_equal(found["matrix"], MATRIX)
  np.testing.assert_array_equal(found["halves"], HALVES)


@pytest.mark.parametrize("write", [_zip, _legacy])
@pytest.mark.parametrize("name", [b"posix\nsystem\n", b"builtins\neval\n", b"torch\nload\n"])
def test_a_file_that_names_a_function_is_refused_and_does_not_run_it(tmp_path, write, name):
  path = write(tmp_path / "model.pth", _pickled(called=b"c" + name))
  with pytest.raises(BadInputError, match=name.replace(b"\n", b".").decode()[:-1]):
    weights.read(path)


@pytest.mark.parametrize("write", [_zip, _legacy])
@pytest.mark.parametrize("wrong", [{"size": (4, 30)}, {"offset": -1}, {"size": (-4, 3)}])
def test_a_tensor_cannot_reach_out_of_its_storage(tmp_path, write, wrong):
  with pytest.raises(BadInputError, match="content"):
    weights.read(write(tmp_path / "model.pth", _pickled(**wrong)))


def test_a_damaged_file_is_refused(tmp_path):
  path = _zip(tmp_path / "model.pth", _pickled())
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
  with pytest.raises(BadInputError, match="content"):
    weights.read(path)
  with pytest.raises(BadInputError, match="nothing there"):
    weights.read(tmp_path / "missing.bin")
