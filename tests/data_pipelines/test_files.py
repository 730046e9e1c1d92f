import numpy as np
import pytest

from data_pipelines import files


def test_a_file_appears_when_it_is_complete_and_in_a_folder_made_for_it(tmp_path):
  path = tmp_path / "new" / "table.npz"
  with files.appearing(path) as partial:
    partial.write_bytes(b"half")
    assert not path.exists()
  assert [one.name for one in path.parent.iterdir()] == ["table.npz"]


def test_what_was_there_stays_if_writing_fails(tmp_path):
  path = tmp_path / "results.json"
  files.write_text(path, "before")

  def fails():
    with files.appearing(path) as partial:
      partial.write_text("half of")
      raise OSError("no room")

  with pytest.raises(OSError, match="no room"):
    fails()
  assert path.read_text() == "before"
  assert [one.name for one in tmp_path.iterdir()] == ["results.json"]


def test_no_bit_of_what_is_sealed_can_change_unseen():
  content = {"a": [1, 2.5e-7, None, "\u00b5m"], "b": {"c": True}}
  raw = files.sealed(content)
  assert files.unsealed(raw) == content
  for bit in range(8 * len(raw)):
    changed = bytearray(raw)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ValueError):  # noqa: PT011 - any of many
      files.unsealed(bytes(changed))
  for other in (b"[]", b"{}", b"[" * 100_000, b"", b"7"):
    with pytest.raises(ValueError):  # noqa: PT011
      files.unsealed(other)


def test_versions_name_the_packages_that_are_installed():
  found = files.versions()
  assert {"jax", "numpy", "h5py"} <= found.keys() <= set(files.PACKAGES)


def test_a_change_anywhere_in_an_image_that_is_saved_anew_is_noticed_from_a_sample(tmp_path):
  content = np.random.default_rng(0).bytes(3_000_000)
  path = tmp_path / "slide.tif"
  seen = set()
  for new in (content, content[:1_400_000] + b"x" + content[1_400_000:], content[:-1] + b"."):
    path.write_bytes(new)
    seen.add(files.sampled_sha256(path))
  assert len(seen) == 3
  path.write_bytes(content)
  assert files.sampled_sha256(path) in seen
  path.write_bytes(b"")
  assert files.sampled_sha256(path)
