"""What is read from anchors is the cosine with each of them, of each modality and of both."""

import dataclasses

import numpy as np
import pytest

from data_pipelines.loading.corpus import Corpus
from hibio import corpora, pathways, pretrained
from hibio.evaluation import gather


@pytest.fixture(scope="module")
def known(workdir):
  corpus = Corpus.open(workdir.parent / "synthetic-tiny" / "corpus")
  model = pretrained.load(workdir)
  return corpus, model, corpora.tables_for(model, corpus)


def test_similarities_to_anchors_stand_beside_the_embeddings(known, evaluation):
  corpus, model, tables = known
  found = evaluation.setting.cohort.features
  share = tables.statistics.corpus_document_share
  anchors = np.asarray(pathways.pathway_anchors(model.params, corpus.membership, share))
  image, gene = (found[f"hibio/{seen}"] @ anchors.T for seen in ("image", "gene"))
  for seen, want in {"image": image, "gene": gene, "fused": (image + gene) / 2}.items():
    np.testing.assert_allclose(found[f"hibio/{seen}@anchors"], want, atol=1e-5)
  assert "untrained/gene@anchors" in found


def test_without_gene_sets_there_is_nothing_to_read(known, evaluation):
  corpus, model, tables = known
  none = tables.replace(membership=np.zeros((0, len(corpus.panel)), bool), overlap=None)
  plain = evaluation.setting.cohort.subset(np.ones(len(corpus.spots), bool))
  assert gather.with_anchors(plain, "hibio", model.params, none) is plain


def test_beside_components_both_halves_weigh_the_same(evaluation):
  cohort = evaluation.setting.cohort
  both, gene = cohort.features["hibio/gene@pca"], cohort.features["hibio/gene"]
  halves = both[:, : gene.shape[1]], both[:, gene.shape[1] :]
  np.testing.assert_allclose([(half**2).mean() for half in halves], 1.0, rtol=1e-4)
  for half, whole in zip(halves, (gene, cohort.features["pca/gene"]), strict=True):
    np.testing.assert_allclose(half * np.sqrt((whole**2).mean()), whole, rtol=1e-3, atol=1e-5)


def test_sections_in_no_split_take_no_part_and_the_others_are_as_they_were(known):
  corpus, *_ = known
  train, unused = corpus.manifest["splits"]["train"]
  test = corpus.manifest["splits"]["test"]
  whole = gather.measured(corpus, None)
  few = gather.measured(corpus.resplit("donor", test, train=[train]), None)
  kept = (whole.spots["donor_id"] != unused).to_numpy()
  assert set(few.spots["donor_id"]) == {train, *test}
  assert (few.spots["spot_index"].to_numpy() == np.flatnonzero(kept)).all()
  assert (few.counts != whole.counts[kept]).nnz == 0
  values = np.asarray(few.counts[:, :8].todense(), np.float32)
  regions = gather.regions_of(
    dataclasses.replace(few, features={"toy/gene": values}), corpus, "toy/gene"
  )
  assert regions.shape == (len(corpus.regions), len(few.spots))
  own = [set(regions[0, rows]) for _, rows in few.sections()]
  assert not set.intersection(*own)
