"""Features of slides by a small encoder: mean colours of two views."""

import concurrent.futures
import dataclasses

import h5py
import numpy as np
import pytest
from PIL import Image

from data_pipelines.loading.corpus import Corpus
from data_pipelines.problems import BadInputError
from hibio import features
from hibio.encoders import catalogue
from tests.data_pipelines import hand_made
from tests.hibio.colours import Colours


@pytest.fixture
def corpus(tmp_path, monkeypatch):
  return hand_made.corpus(tmp_path, monkeypatch)


def test_a_spot_has_the_colours_of_its_own_place_on_the_slide(corpus):
  found = features.extract(corpus, Colours()).features
  assert found.name == "colours"
  assert found.known.tolist() == [True] * 120 + [False] * 50
  places = corpus.spots[["x_um", "y_um"]].to_numpy()[:120] / hand_made.UM_PER_PX
  for view in (slice(0, 2), slice(3, 5)):  # red and green say where a pixel lies
    inside = np.abs(found.values[:120, view] - (places - 0.5)).max(1)
    assert np.quantile(inside, 0.4) < 1.0


def test_an_interrupted_extraction_goes_on_with_the_next_section(corpus, capsys):
  whole = features.extract(corpus, Colours()).features.values
  calls = Colours(stop_after=1)
  for file in (corpus.path / "features" / "colours").iterdir():
    file.unlink()
  with pytest.raises(KeyboardInterrupt):
    features.extract(corpus, calls)
  assert not corpus.feature_store("colours").is_complete()
  again = Colours()
  np.testing.assert_array_equal(features.extract(corpus, again).features.values, whole)
  assert again.spots == 60
  assert "1 of 2 sections are finished already" in capsys.readouterr().err
  nothing = Colours()
  features.extract(corpus, nothing)
  assert nothing.spots == 0
  features.extract(corpus, other := Colours(hash="f" * 16))
  assert other.spots == 120


def test_spots_beside_the_slide_are_unknown(tmp_path):
  image = hand_made.picture(tmp_path, "A1")
  places = np.array([[10.0, 10.0], [-1.0, 5.0], [259.0, 219.0], [260.0, 10.0]])
  found = features.read(Colours(), image, places, hand_made.UM_PER_PX)
  assert np.isfinite(found).all(1).tolist() == [True, False, True, False]
  assert not features.read(Colours(), image, places[1:2], 5.0).size - 6


def test_a_corpus_can_be_moved_with_its_slides_but_not_without(corpus, tmp_path):
  moved = tmp_path / "elsewhere"
  moved.mkdir()
  for path in (corpus.path, tmp_path / "A1.png", tmp_path / "B1.png"):
    path.rename(moved / path.name)
  features.extract(Corpus.open(moved / "corpus"), Colours())
  (moved / "A1.png").unlink()
  with pytest.raises(BadInputError, match=r"A1.png: slide of section A1: found no such file"):
    features.extract(Corpus.open(moved / "corpus"), Colours(), "other")
  Image.new("RGB", (10, 10)).save(moved / "A1.png")
  with pytest.raises(BadInputError, match=r"A1.png: size: found 10 x 10 px"):
    features.extract(Corpus.open(moved / "corpus"), Colours(), "other")


def test_other_pixels_of_a_slide_are_noticed_and_read_again(corpus, tmp_path):
  features.extract(corpus, Colours())
  with Image.open(tmp_path / "A1.png") as slide:
    pixels = np.array(slide)
  pixels[100] = 0
  Image.fromarray(pixels).save(tmp_path / "A1.png")
  with pytest.raises(BadInputError, match=r"A1.npy: features: found .* of another slide"):
    corpus.with_features("colours")
  again = Colours()
  features.extract(corpus, again)
  assert again.spots == 60


def test_slides_of_finished_sections_may_be_gone(corpus, tmp_path):
  whole = features.extract(corpus, Colours()).features
  (tmp_path / "A1.png").unlink()
  again = features.extract(corpus, Colours()).features
  np.testing.assert_array_equal(again.values, whole.values)


def test_two_processes_at_once_read_each_section_once(corpus):
  first, second = Colours(), Colours()

  def extracted(encoder):
    return features.extract(corpus, encoder).features.values

  with concurrent.futures.ThreadPoolExecutor(2) as pool:
    one, two = pool.map(extracted, [first, second])
  np.testing.assert_array_equal(one, two)
  assert first.spots + second.spots == 120


def test_no_slide_and_a_sharp_one_are_no_word_about_blur(capsys):
  features.warn_of_coarse("embed", {}, ((112.0, 0),))
  features.warn_of_coarse("embed", {"A1": 2.0, "B1": 2.1}, ((112.0, 112),))
  said = capsys.readouterr().err
  assert "embed: slides coarser than 1 um a pixel are enlarged and blurred: B1" in said


def test_slides_that_show_less_than_the_encoder_looks_at_are_named(corpus, capsys):
  encoder = Colours()
  encoder.views = ((8.0, 8), (80.0, 8))
  features.extract(corpus, encoder)
  assert "coarser than 1 um a pixel are enlarged and blurred: A1, B1" in capsys.readouterr().err


def test_a_corpus_that_does_not_know_its_slides_is_to_be_prepared_again(corpus):
  entries = [{k: v for k, v in s.items() if k != "image"} for s in corpus.manifest["sections"]]
  old = dataclasses.replace(corpus, manifest={**corpus.manifest, "sections": entries})
  with pytest.raises(BadInputError, match=r"Fix: run the same data_pipelines.prepare command"):
    features.extract(old, Colours())
  none = [{**s, "has_image": False} for s in corpus.manifest["sections"]]
  bare = dataclasses.replace(corpus, manifest={**corpus.manifest, "sections": none})
  with pytest.raises(BadInputError, match="images: found none in any section"):
    features.extract(bare, Colours())


def test_imported_features_are_kept_like_extracted_ones(corpus, tmp_path, capsys):
  table = corpus.spots[["section_id", "spot_id"]].head(118).assign(f0=1.0, f1=2.0)
  table.to_csv(tmp_path / "uni.csv", index=False)
  found = features.imported(corpus, str(tmp_path / "uni.csv"), "uni")
  assert "features uni: 118 spots have them, 2 beside them have none" in capsys.readouterr().err
  np.testing.assert_array_equal(found.features.known, np.arange(170) < 118)

  def hash_of(file, name):
    return features.imported(corpus, str(tmp_path / file), "uni", name).features.about["hash"]

  table.assign(f1=3.0).to_csv(tmp_path / "other.csv", index=False)
  assert hash_of("uni.csv", "again") == found.features.about["hash"]
  assert hash_of("other.csv", "other") != found.features.about["hash"]


def test_imported_features_have_the_name_that_was_given_and_not_that_in_the_file(corpus, tmp_path):
  for section, own in corpus.spots.groupby("section_id"):
    with h5py.File(tmp_path / f"{section}.h5", "w") as file:
      file["embeddings"] = np.ones((len(own), 2), np.float32)
      file["barcodes"] = own["spot_id"].to_numpy("S")
      file.attrs["encoder"] = "uni_v1"
  found = features.imported(corpus, str(tmp_path / "{section}.h5"), "uni").features
  assert (found.name, found.about["name"]) == ("uni", "uni_v1")
  assert corpus.with_features("uni").features.known.any()


def test_features_that_an_encoder_has_the_name_of_are_extracted_when_they_are_missing(
  corpus, monkeypatch, capsys
):
  encoder = Colours()
  monkeypatch.setitem(catalogue.CATALOGUE, "colours", None)
  monkeypatch.setattr(catalogue, "load", lambda name: encoder)
  found = features.added(corpus, "colours")
  assert "features colours: not in" in capsys.readouterr().err
  again = features.added(corpus, "colours")
  np.testing.assert_array_equal(found.features.values, again.features.values)
  assert encoder.spots == 120
  with pytest.raises(BadInputError, match="features unknown: found only colours"):
    features.added(corpus, "unknown")


def test_features_that_a_model_reads_are_extracted_with_the_weights_that_are_named(
  corpus, monkeypatch
):
  encoder, named = Colours(), []
  monkeypatch.setattr(catalogue, "load", lambda name, weights: named.append(weights) or encoder)
  for _ in range(2):  # the second time they are there
    features.made_for(encoder.about, corpus, "colours.bin")
  assert named == ["colours.bin"]
  assert encoder.spots == 120
  features.made_for(encoder.about | {"hash": "f" * 16}, corpus)  # of another encoder: left alone
  assert corpus.with_features("colours").features.about == encoder.about
  with pytest.raises(BadInputError, match="--weights: use: found given with a model that reads"):
    features.made_for(None, corpus, "colours.bin")


def test_a_corpus_without_images_is_trained_on_by_its_counts_alone(corpus, monkeypatch, capsys):
  sections = [{**one, "has_image": False} for one in corpus.manifest["sections"]]
  corpus = dataclasses.replace(corpus, manifest={**corpus.manifest, "sections": sections})
  monkeypatch.setattr(catalogue, "load", lambda *_: pytest.fail("weights that nobody reads"))
  entry = catalogue.CATALOGUE["efficientnet_lite0"]
  for name in ("efficientnet_lite0", "efficientnet_lite0-untrained"):
    found = features.added(corpus, name)
    assert "counts are trained on alone" in capsys.readouterr().err
    assert not found.has_image.any()
    assert found.features.about["name"] == name
    assert found.feature_input.shape == (170, 2 * entry.width)
    assert not found.feature_input.any()
