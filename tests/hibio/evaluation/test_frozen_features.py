"""Baselines on the features that a model reads, with features that hold the truth or nothing."""

import dataclasses
from unittest import mock

import numpy as np
import pytest
import scipy.sparse

from data_pipelines.features.store import Features
from data_pipelines.loading.corpus import Corpus
from hibio.batch import Tables
from hibio.evaluation import compared, expression
from hibio.evaluation.baselines import BASELINES, Given, counts
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.folds import folds_of
from hibio.evaluation.housekeeping import Housekeeping
from hibio.evaluation.methods import Method
from hibio.evaluation.setting import Setting


@pytest.fixture
def given(cohort) -> Given:
  """Image features that know the leaf of a spot, and stretch differently in each section."""
  rng = np.random.default_rng(5)
  stretch = rng.uniform(0.2, 5.0, (6, 4))[np.arange(360) // 60]
  leaf = cohort.features["truth"] * stretch + stretch
  pca = counts.expression_pca(cohort, cohort, 8)
  features = {"features/image": leaf.astype(np.float32), "pca/gene": pca}
  cohort = dataclasses.replace(cohort, features=features)
  return Given(cohort, cohort, folds_of(cohort, ["d0", "d1", "d2"]), object.__new__(Corpus))


def _first_profile(found):
  """Share of patches whose most similar profile is of their own leaf."""
  image, gene = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in found)
  return (image @ gene.T).argmax(1)


def test_components_predicted_from_features_find_profiles_of_the_same_leaf(given):
  found = counts.to_components("features/image")(given)
  leaf = given.cohort.spots["leaf"].to_numpy()
  right = (leaf[_first_profile(found)] == leaf).mean()
  noise = np.random.default_rng(0).normal(size=(360, 4)).astype(np.float32)
  blind = dataclasses.replace(
    given.cohort, features={**given.cohort.features, "features/image": noise}
  )
  chance = counts.to_components("features/image")(dataclasses.replace(given, cohort=blind))
  assert right > 0.8
  assert (leaf[_first_profile(chance)] == leaf).mean() < 0.4


def test_without_the_feature_there_is_no_way_into_the_space(given):
  assert counts.to_components("colour/image")(given) is None
  assert counts.to_components("features/image")(dataclasses.replace(given, folds=())) is None


def test_what_stretches_a_section_is_taken_out_before_a_reduced_rank(given):
  questions = expression.prepare(given.cohort, given.folds)
  found = {
    (row.protocol, row.metric): row.value
    for row in expression.from_feature(questions, "features/image", ["reduced_rank", "ridge_cv"])
  }
  of = {name: found[f"{name}, log1p_cp10k, hvg50", "pearson_pooled"]
        for name in ("reduced_rank", "ridge_cv")}  # fmt: skip
  assert of["reduced_rank"] > of["ridge_cv"] + 0.02


def test_features_in_units_of_their_section_are_read_as_they_are(given):
  cohort: Cohort = dataclasses.replace(given.cohort, in_units=frozenset({"features/image"}))
  assert cohort.in_section_units("features/image") is cohort.features["features/image"]
  units = given.cohort.in_section_units("features/image")
  np.testing.assert_allclose(units[:60].std(0), 1, atol=1e-3)


def test_spots_without_imported_features_are_neither_fitted_on_nor_scored(given, capsys):
  known = np.arange(360) % 4 > 0
  cohort = given.cohort
  assert compared._some(np.ones(360, bool), cohort, "uni") is None
  assert compared._some(known, cohort, "uni") is known
  assert "uni: 90 of 360 spots with an image have none" in capsys.readouterr().err
  setting = Setting(
    model=None, corpus=mock.Mock(spec=Corpus, membership=None), tables=mock.Mock(spec=Tables),
    cohort=cohort, donors=("d0", "d1", "d2"), folds=tuple(given.folds),
    questions=expression.prepare(cohort, given.folds), labels=(),
    housekeeping=mock.Mock(spec=Housekeeping),
  )  # fmt: skip
  method = Method("features", known=known)
  seen = setting.of(method)
  assert len(seen.seen_by("features/image").spots) == 270
  (fold, *_) = seen.questions.folds
  assert known[fold.fit].all()
  assert known[fold.test].all()
  assert setting.of(Method("pca")) is setting


def test_the_model_s_own_features_and_their_untrained_twin_are_baselines_of_the_corpus(workdir):
  corpus = Corpus.open(workdir.parent / "synthetic-tiny" / "corpus")
  spots = corpus.spots.assign(spot_index=np.arange(len(corpus.spots)))
  cohort = Cohort("toy", spots, scipy.sparse.csr_matrix((len(spots), 1)), {}, {})
  rng, n = np.random.default_rng(0), len(spots)
  read = Features("toy", {}, rng.normal(size=(n, 3)).astype(np.float32), np.ones(n, bool))
  asked = Given(cohort, cohort, (), dataclasses.replace(corpus, features=read))
  found = BASELINES["features"].of("features", asked)
  assert found["features/image"].shape == (n, 6)
  twin, name = "features (untrained)", "features (untrained)/image"
  assert not BASELINES[twin].of(twin, asked)
  store = corpus.feature_store("toy-untrained")
  store.begin({"name": "toy", "hash": "0" * 16, "width": 3})
  for section, own in spots.groupby("section_id", sort=False):
    store.put(section, rng.normal(size=(len(own), 3)).astype(np.float32))
  untrained = BASELINES[twin].of(twin, asked)[name]
  assert untrained.shape == (n, 6)
  assert np.abs(untrained - found["features/image"]).max() > 0.1
  assert not BASELINES["features"].of(
    "features", dataclasses.replace(asked, corpus=dataclasses.replace(corpus, features=None))
  )
