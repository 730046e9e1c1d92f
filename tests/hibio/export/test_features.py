"""A model that was trained on an encoder's features reads new slides through that encoder."""

import dataclasses

import numpy as np
import pytest

from data_pipelines.gene_sets import Pathways
from data_pipelines.loading import loader
from data_pipelines.problems import BadInputError
from hibio import corpora, features, forward, tissue
from hibio.corpora import SPLITS
from hibio.encoders import catalogue
from tests.data_pipelines import hand_made
from tests.hibio.colours import Colours


@pytest.fixture
def encoder(monkeypatch):
  """The encoder that the catalogue loads, whatever name it is asked for."""
  encoder = Colours()
  monkeypatch.setattr(catalogue, "load", lambda name, weights: encoder)
  return encoder


@pytest.fixture
def section(tmp_path):
  return hand_made.section("A1", "A", rows=6, image=hand_made.picture(tmp_path, "A1"))


def test_a_new_slide_is_embedded_as_the_same_slide_in_a_corpus(
  reads_features, encoder, section, tmp_path, monkeypatch
):
  corpus = features.extract(hand_made.corpus(tmp_path, monkeypatch), encoder)
  sets = Pathways.read([hand_made.gene_sets(tmp_path)], corpus.panel)
  corpus = corpus.with_gene_sets(sets)  # as many as the model knows
  adata = reads_features.embed(tissue.of_sections([section]), domain_um=())
  module = reads_features.checkpoint.model
  found = forward.spot_vectors(
    forward.frozen(module),
    reads_features.checkpoint.params,
    corpora.tables_of(corpus),
    loader.windows_once(corpus, SPLITS, windows_per_batch=4),
  )
  of_corpus = dict(zip(corpus.spots["spot_id"], found.image, strict=True))
  want = np.stack([of_corpus[name] for name in section.spot_ids])
  np.testing.assert_allclose(adata.obsm["X_hibio_image"], want, atol=1e-5)
  assert np.std(want, axis=0).max() > 1e-3
  about = adata.uns["hibio"]["checkpoint"]
  assert (about["encoder"], about["encoder_hash"]) == ("colours", "0" * 16)


def test_counts_alone_need_no_encoder(reads_features, encoder, section):
  bare = tissue.of_sections([dataclasses.replace(section, image=None)])
  adata = reads_features.embed(bare, domain_um=())
  assert "X_hibio_gene" in adata.obsm
  assert "X_hibio_image" not in adata.obsm
  assert encoder.spots == 0


def test_an_encoder_with_other_weights_is_refused(reads_features, encoder, section):
  encoder.about["hash"] = "f" * 16
  with pytest.raises(BadInputError, match=r"hash: found f{16}, expected 0{16}.*weights=FILE"):
    reads_features.embed(tissue.of_sections([section]))


def test_a_model_of_imported_features_reads_no_new_slide(encoder):
  about = encoder.about | {"imported": "uni.csv"}
  with pytest.raises(BadInputError, match=r"imported ones \(uni.csv\).*experiments.extract"):
    features.encoder_of(about)


def test_weights_are_refused_where_they_do_nothing(model, section):
  with pytest.raises(BadInputError, match=r" weights: use: .*reads patches"):
    model.embed(tissue.of_sections([section]), weights="w.bin")
