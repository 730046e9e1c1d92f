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


def test_versions_name_the_packages_that_are_installed():
  found = files.versions()
  assert {"jax", "numpy", "h5py"} <= found.keys() <= set(files.PACKAGES)
