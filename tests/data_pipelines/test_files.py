import numpy as np
import pytest

from data_pipelines import files
from data_pipelines.problems import BadInputError


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


def test_several_files_appear_together_or_not_at_all(tmp_path):
  folder = tmp_path / "out"
  files.write_text(folder / "a", "before")

  def fails():
    with files.appearing_in(folder) as place:
      files.write_text(place / "a", "after")
      raise OSError("no room")

  with pytest.raises(OSError, match="no room"):
    fails()
  assert [(one.name, one.read_text()) for one in folder.iterdir()] == [("a", "before")]
  with files.appearing_in(folder) as place:
    files.write_text(place / "a", "after")
    files.write_text(place / "figures" / "b", "new")
  assert (folder / "a").read_text() == "after"
  assert (folder / "figures" / "b").read_text() == "new"
  assert [one.name for one in tmp_path.iterdir()] == ["out"]


def test_what_will_not_fit_is_refused_with_the_bytes_that_are_needed(tmp_path):
  files.require_room(tmp_path / "not" / "there" / "yet", 1, "--output")
  with pytest.raises(BadInputError, match=r"[\d,]+ bytes free, expected 1,000,000,000,000,000,000"):
    files.require_room(tmp_path / "out", 10**18, "--output")


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
