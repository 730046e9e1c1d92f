"""A corpus is read with what the model took for granted of genes, not with its own guess."""

import dataclasses
from unittest import mock

import numpy as np
import pytest
from ml_collections import ConfigDict

from data_pipelines import files, problems
from data_pipelines.loading.corpus import Corpus
from hibio import corpora, features
from hibio.pretrained import Pretrained
from hibio.training.tables import TABLES, save_tables
from tests.data_pipelines import hand_made
from tests.hibio.colours import Colours
from tests.hibio.fake import fake


def _tables_for(workdir):
  return corpora.tables_for(mock.Mock(spec=Pretrained, workdir=workdir), mock.Mock(spec=Corpus))


@pytest.fixture(scope="module")
def tables():
  return fake(windows=2, spots=6, genes=10, pathways=3)[1]


def test_the_background_of_genes_is_the_checkpoints(tmp_path, tables, monkeypatch):
  learned = tables.statistics.replace(
    corpus_document_share=np.full(10, 0.25, np.float32),
    corpus_spatial=np.linspace(0, 1, 10).astype(np.float32),
  )
  save_tables(tmp_path, ("a", "b", "c"), tables.replace(statistics=learned))
  monkeypatch.setattr(corpora, "tables_of", lambda corpus: tables)
  got = _tables_for(tmp_path).statistics
  np.testing.assert_array_equal(got.corpus_spatial, learned.corpus_spatial)
  np.testing.assert_array_equal(got.corpus_document_share, learned.corpus_document_share)
  np.testing.assert_array_equal(got.log_mean, tables.statistics.log_mean)


def test_a_run_without_the_file_is_refused(tmp_path, tables, monkeypatch):
  monkeypatch.setattr(corpora, "tables_of", lambda corpus: tables)
  with pytest.raises(problems.BadInputError, match=r"corpus\.npz: file: found none"):
    _tables_for(tmp_path)


def test_genes_that_the_panel_has_gained_are_known_from_the_corpus(tmp_path, tables, monkeypatch):
  earlier = fake(windows=2, spots=6, genes=7, pathways=3)[1]
  share = np.full(7, 0.25, np.float32)
  learned = earlier.replace(statistics=earlier.statistics.replace(corpus_document_share=share))
  save_tables(tmp_path, ("a", "b", "c"), learned)
  monkeypatch.setattr(corpora, "tables_of", lambda corpus: tables)
  got = _tables_for(tmp_path).statistics
  np.testing.assert_array_equal(got.corpus_document_share[:7], 0.25)
  np.testing.assert_array_equal(
    got.corpus_document_share[7:], np.asarray(tables.statistics.corpus_document_share)[7:]
  )


def test_a_damaged_file_is_named(tmp_path, tables, monkeypatch):
  save_tables(tmp_path, ("a", "b", "c"), tables)
  path = tmp_path / TABLES
  path.write_bytes(path.read_bytes()[:-40])
  monkeypatch.setattr(corpora, "tables_of", lambda corpus: tables)
  with pytest.raises(problems.BadInputError, match=r"corpus\.npz: content: found damaged"):
    _tables_for(tmp_path)


def test_an_unknown_preset_is_named_by_the_key_of_the_config(tmp_path):
  with pytest.raises(problems.BadInputError, match=r"--config\.synthetic\.preset: .*'huge'"):
    corpora.corpus("huge", 0, tmp_path)


def test_a_corpus_is_opened_with_what_the_checkpoint_reads_and_other_features_are_refused(
  tmp_path, monkeypatch
):
  corpus = features.extract(hand_made.corpus(tmp_path, monkeypatch), Colours())
  bare = Corpus.open(corpus.path)

  def reading(about, sections=()):
    meta = {"corpus": {"sections": sections}}
    return mock.Mock(spec=Pretrained, workdir="runs/x", features=about, meta=meta)

  assert corpora.as_read_by(reading(None), corpus).features is None
  found = corpora.as_read_by(reading(Colours().about), bare)
  np.testing.assert_array_equal(found.feature_input, corpus.feature_input)
  assert corpora.described(found)["features"] == Colours().about
  assert corpora.described(bare)["features"] is None
  other = Colours().about | {"hash": "f" * 16}
  with pytest.raises(problems.BadInputError, match="features colours: .* hash 0{16}, expected f"):
    corpora.as_read_by(reading(other), bare)
  with pytest.raises(problems.BadInputError, match="features uni: found only colours"):
    corpora.as_read_by(reading(other | {"name": "uni"}), bare)
  never = Colours().about | {"hash": features.NOT_READ}
  assert corpora.as_read_by(reading(never), bare).features.known.any()
  sections = [{**one, "has_image": False} for one in bare.manifest["sections"]]
  blind = dataclasses.replace(bare, manifest={**bare.manifest, "sections": sections})
  assert not corpora.as_read_by(reading(other), blind).features.known.any()
  # Features may lie beside a corpus that has no image: somebody else's, joined by barcodes.
  assert corpora.as_read_by(reading(Colours().about), blind).features.known.any()


def test_imported_features_of_the_run_s_own_spots_have_its_values_and_of_others_its_encoder(
  tmp_path, monkeypatch
):
  corpus = hand_made.corpus(tmp_path, monkeypatch)
  table = corpus.spots[["section_id", "spot_id"]].head(120)
  table.assign(f0=1.0).to_csv(tmp_path / "uni.csv", index=False)
  found = features.imported(corpus, str(tmp_path / "uni.csv"), "uni")
  about = found.features.about | {"hash": "f" * 16}  # of other values

  def run(sections):
    return mock.Mock(
      spec=Pretrained, workdir="runs/x", features=about, meta={"corpus": {"sections": sections}}
    )

  assert corpora.as_read_by(run([]), corpus).features.known.any()
  with pytest.raises(problems.BadInputError, match="features uni"):
    corpora.as_read_by(run(corpus.manifest["sections"]), corpus)


def _corpus(**known):
  corpus = mock.Mock(spec=Corpus, **known)
  corpus.resplit.return_value = mock.Mock(spec=Corpus)
  return corpus


def test_a_corpus_is_split_as_the_run_that_was_given_it_and_no_other():
  def section(name, split, **more):
    return {"section_id": name, "donor_id": name, "content": name * 2, "split": split, **more}

  manifest = {
    "sections": [section("A1", "train"), section("A2", "train")],
    "splits": {"train": ["A1", "A2"], "validation": [], "test": []},
  }
  run = {
    "sections": [section("A1", "test", patient="A"), section("A2", "train", patient="A")],
    "splits": {"train": ["A2"], "validation": [], "test": ["A1"]},
  }
  model = mock.Mock(spec=Pretrained, meta={"corpus": run}, workdir="run")
  corpus = _corpus(manifest=manifest)
  corpus.name = "toy"
  assert corpora.split_as(model, corpus) is corpus.resplit.return_value
  corpus.resplit.assert_called_once_with("section", train=["A2"], validation=[], test=["A1"])
  other = mock.Mock(spec=Corpus, manifest={**manifest, "sections": [section("B1", "train")]})
  assert corpora.split_as(model, other) is other


def test_names_of_a_config_divide_the_corpus_and_without_any_it_stays_as_it_was():
  corpus = _corpus()
  nobody = ConfigDict({"unit": "donor", "train": "", "validation": "", "test": ""})
  assert corpora.resplit(corpus, nobody) is corpus
  with pytest.raises(problems.BadInputError, match="found 'section', and nothing named"):
    corpora.resplit(corpus, ConfigDict({**nobody, "unit": "section"}))
  some = ConfigDict({"unit": "section", "train": "", "validation": "", "test": "C2, C3"})
  assert corpora.resplit(corpus, some) is corpus.resplit.return_value
  corpus.resplit.assert_called_once_with("section", train=(), validation=(), test=("C2", "C3"))


def test_a_work_directory_of_other_genes_is_refused_before_features_are_extracted(
  tmp_path, monkeypatch
):
  run = {"panel": {"hash": "0"}, "corpus": {"sections": [{"section_id": "A1"}]}}
  (tmp_path / "run.json").write_bytes(files.sealed(run))
  monkeypatch.setattr(features, "added", lambda *_: pytest.fail("extracted"))
  found = mock.Mock(spec=Corpus, path="corpus", panel=mock.Mock(hash="1"))
  monkeypatch.setattr(Corpus, "open", lambda _: found)
  config = ConfigDict({"workdir": str(tmp_path), "corpus": "corpus", "features": "colours"})
  config.synthetic = {"preset": "tiny", "seed": 0}
  with pytest.raises(problems.BadInputError, match=r"other genes \(1 sections: A1\)"):
    corpora.opened(config)
