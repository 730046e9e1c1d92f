import numpy as np
import pytest

from hibio.encoders import catalogue
from tests.data_pipelines import hand_made
from tests.experiments.conftest import call
from tests.hibio.colours import Colours


@pytest.fixture
def corpus(tmp_path, monkeypatch):
  monkeypatch.setattr(catalogue, "load", lambda name, weights: Colours())
  return hand_made.corpus(tmp_path, monkeypatch)


def test_the_command_writes_features_and_says_where(corpus):
  done = call("experiments.extract", f"--corpus={corpus.path}", "--encoder=colours")
  assert done.returncode == 0, done.stderr
  assert "120 of 170 spots, 6 wide" in done.stdout
  assert corpus.with_features("colours").features.known.sum() == 120
  again = call("experiments.extract", f"--corpus={corpus.path}", "--encoder=colours")
  assert "2 of 2 sections are finished already" in again.stderr


def test_the_command_imports_features_from_a_file(corpus, tmp_path):
  table = corpus.spots[["section_id", "spot_id"]].assign(f=np.arange(170.0))
  table.to_parquet(tmp_path / "uni.parquet")
  done = call(
    "experiments.extract",
    f"--corpus={corpus.path}",
    "--encoder=uni",
    f"--from={tmp_path}/uni.parquet",
    "--name=mine",
  )
  assert done.returncode == 0, done.stderr
  found = corpus.with_features("mine").features
  np.testing.assert_array_equal(found.values[:, 0], np.arange(170))
  assert (found.about["name"], found.about["imported"]) == ("uni", "uni.parquet")


def test_a_wrong_path_is_one_line(tmp_path):
  done = call("experiments.extract", f"--corpus={tmp_path}/none", "--encoder=uni")
  assert done.returncode == 3
  assert done.stderr.count("\n") == 1
