import itertools

import numpy as np
import pytest

from data_pipelines.features import store
from data_pipelines.features.reading import NEIGHBOURS, model_input
from data_pipelines.loading import loader
from data_pipelines.problems import BadInputError
from hibio.batch import Batch
from tests.data_pipelines import hand_made

ABOUT = {"name": "made", "hash": "0123456789abcdef", "width": 3, "views": [[80.0, 16]]}


@pytest.fixture
def corpus(tmp_path, monkeypatch):
  return hand_made.corpus(tmp_path, monkeypatch)


def values(corpus, section, seed=0):
  rows = corpus.spots["section_id"] == section
  return np.random.default_rng(seed).normal(size=(rows.sum(), 3)).astype(np.float32)


def written(corpus, about=ABOUT, unknown=()):
  kept = corpus.feature_store("made")
  kept.begin(about)
  for section in ("A1", "B1"):
    found = values(corpus, section)
    found[list(unknown)] = np.nan
    kept.put(section, found)
  return corpus.with_features("made")


def test_features_come_back_as_they_were_written(corpus):
  found = written(corpus, unknown=[3]).features
  of_a = found.values[:60]
  want = values(corpus, "A1")
  want[3] = 0
  np.testing.assert_array_equal(of_a, want)
  assert found.about == ABOUT
  np.testing.assert_array_equal(np.flatnonzero(~found.known), [3, 63, *range(120, 170)])


def test_the_input_of_a_section_is_z_scores_and_their_mean_over_its_nearest_spots(corpus):
  corpus = written(corpus, unknown=[3])
  own, raw, known = corpus.feature_input, corpus.features.values, corpus.features.known
  places = corpus.spots[["x_um", "y_um"]].to_numpy()
  for rows in (np.flatnonzero(known[:60]), 60 + np.flatnonzero(known[60:120])):
    z = (raw[rows] - raw[rows].mean(0)) / raw[rows].std(0)
    np.testing.assert_allclose(own[rows, :3], z, rtol=1e-4, atol=1e-5)
  assert not own[~known].any()
  shaken = places[:60] + np.random.default_rng(1).normal(size=(60, 2))  # no two alike
  got = model_input(raw[:60], known[:60], shaken)
  rows = np.flatnonzero(known[:60])
  distance = np.linalg.norm(shaken[rows, None] - shaken[rows], axis=-1)
  nearest = rows[np.argsort(distance, axis=1)[:, 1 : NEIGHBOURS + 1]]
  np.testing.assert_allclose(got[rows, 3:], got[nearest, :3].mean(1), rtol=1e-4, atol=1e-6)


def test_the_order_of_spots_on_a_lattice_changes_nothing(corpus):
  raw, places = values(corpus, "A1"), hand_made.lattice(6, 10)
  known = np.arange(60) != 7
  order = np.random.default_rng(2).permutation(60)
  whole = model_input(raw, known, places)
  np.testing.assert_allclose(
    model_input(raw[order], known[order], 1.1 * places[order]), whole[order], atol=1e-6
  )
  z, ring = whole[:, :3], np.linalg.norm(places - places[35], axis=1)
  two = (ring > 0) & (ring < 190)  # two rings of a hexagonal lattice, without its corners
  assert two.sum() == 12
  np.testing.assert_allclose(whole[35, 3:], z[two].mean(0), atol=1e-6)


def test_few_spots_have_the_mean_of_those_there_are():
  places = np.array([[0.0, 0.0], [0.0, 0.0], [5.0, 0.0], [9.0, 9.0]])
  raw = np.array([[1.0], [2.0], [6.0], [100.0]], np.float32)
  got = model_input(raw, np.array([True, True, True, False]), places)
  z = (raw[:3] - 3) / np.std(raw[:3])
  want = [[z[1] + z[2]], [z[0] + z[2]], [z[0] + z[1]]]
  np.testing.assert_allclose(got[:3, 1:], np.array(want)[:, 0] / 2, rtol=1e-5)
  assert not got[3].any()
  assert not model_input(raw, np.zeros(4, bool), places).any()
  assert not model_input(raw[:1], np.ones(1, bool), places[:1]).any()


def test_a_feature_that_does_not_vary_says_nothing():
  raw = np.full((30, 1), 0.1, np.float32)
  places = np.random.default_rng(0).uniform(size=(30, 2))
  assert not model_input(raw, np.ones(30, bool), places).any()


def test_batches_hold_features_in_place_of_patches(corpus):
  corpus = written(corpus, unknown=[3])
  batches = loader.batches(corpus, "train", windows_per_batch=2, sections_per_batch=2, seed=0)
  for arrays in itertools.islice(batches, 4):
    batch = Batch(**arrays)
    assert batch.patches.shape == (2, 24, 0, 0, 3)
    assert batch.features.shape == (2, 24, 6)
    real = batch.spot_mask
    np.testing.assert_array_equal(
      batch.features[real], corpus.feature_input[batch.spot_index[real]]
    )
    np.testing.assert_array_equal(
      batch.has_patch[real], corpus.features.known[batch.spot_index[real]]
    )
    assert not batch.has_patch[~real].any()
    assert not batch.features[~real].any()


def test_another_encoder_under_the_same_name_begins_anew(corpus):
  written(corpus)
  kept = corpus.feature_store("made")
  assert kept.begin(ABOUT) == ["A1", "B1"]
  assert kept.begin(ABOUT | {"hash": "ffff"}) == []
  with pytest.raises(BadInputError, match=r"section A1: found no features.*finished sections"):
    corpus.with_features("made")


def test_features_that_are_not_there_are_answered_with_those_that_are(corpus):
  with pytest.raises(BadInputError, match=r"found none.*Fix: python -m experiments.extract"):
    corpus.with_features("made")
  written(corpus)
  with pytest.raises(BadInputError, match=r"only made.*Fix: did you mean made\?"):
    corpus.with_features("mad")
  with pytest.raises(BadInputError, match=r"features: name: found '../x'"):
    corpus.with_features("../x")


def test_a_changed_file_and_one_of_another_preparation_are_refused(corpus):
  written(corpus)
  file = corpus.path / "features" / "made" / "A1.npy"
  content = file.read_bytes()
  file.write_bytes(content[:-4] + b"\0\0\0\0")
  with pytest.raises(BadInputError, match=r"A1.npy: features: found a changed file"):
    corpus.with_features("made")
  file.write_bytes(content)
  corpus.with_features("made")
  corpus.spots.loc[5, "x_um"] += 1.0
  with pytest.raises(BadInputError, match=r"A1.npy: .*another preparation"):
    corpus.with_features("made")
  assert corpus.feature_store("made").begin(ABOUT) == ["B1"]


def test_a_damaged_description_says_what_to_delete(corpus):
  written(corpus)
  (corpus.path / "features" / "made" / store.ABOUT).write_text("{")
  with pytest.raises(BadInputError, match=r"about.json: content.*Fix: delete .*made and extract"):
    corpus.with_features("made")
