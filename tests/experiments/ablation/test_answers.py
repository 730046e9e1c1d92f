"""What a run answers: the figures of the evaluation, and others once its neighbours are wrong."""

import numpy as np
import pytest

from data_pipelines.loading.corpus import Corpus
from data_pipelines.problems import BadInputError
from experiments.ablation.measures import GROUPS, MEASURES
from experiments.ablation.swapped import swapped_windows
from hibio import pretrained
from hibio.evaluation import compared, scope, suite
from hibio.evaluation import setting as setting_
from hibio.evaluation.setting import Setting


@pytest.fixture(scope="module")
def asked(workdir) -> Setting:
  corpus = Corpus.open(workdir.parent / "synthetic-tiny" / "corpus")
  donors = scope.scored_donors(corpus, ())
  labels = (scope.label_of(corpus, ""),)
  return setting_.read(pretrained.load(workdir), corpus, donors, labels, thorough=False)


@pytest.fixture(scope="module")
def answered(asked) -> Setting:
  return compared.with_checkpoint(asked)


@pytest.fixture(scope="module")
def rows(answered):
  return [row for task in suite.COMPARED for row in suite.ask(answered, task)]


def test_every_measure_finds_its_row_in_a_run(rows):
  # One section is scored here, and one cannot be pooled.
  together = {measure.name for measure in GROUPS["All sections together"]}
  together |= {measure.name for measure in MEASURES if measure.task not in suite.COMPARED}
  without = {measure.name for measure in MEASURES if measure.row(rows) is None}
  assert without == together
  assert all(row.note for row in rows if row.value is None)


def test_figures_are_those_of_the_evaluation(rows, evaluation):
  ours = {(row.task, row.protocol, row.metric, row.method): row.value for row in rows}
  theirs = {(row.task, row.protocol, row.metric, row.method): row.value for row in evaluation.rows}
  alone = {key[0] for key in ours if key not in theirs}
  assert alone == {"pooled_domains", "region_retrieval"}
  both = [key for key in ours if key in theirs and ours[key] is not None]
  assert len(both) > 100
  np.testing.assert_allclose([ours[k] for k in both], [theirs[k] for k in both], atol=1e-6)


def test_the_label_with_most_names_is_asked_and_another_one_has_to_exist(asked):
  assert asked.labels == ("leaf",)
  with pytest.raises(BadInputError, match="one of compartment, leaf"):
    scope.label_of(asked.corpus, "nosuch")


def test_swapped_coordinates_keep_every_spot_and_change_what_it_is_embedded_as(asked, answered):
  swapped = compared.with_checkpoint(asked, swapped_windows)
  for seen in ("image", "gene"):
    before, after = (one.cohort.features[f"hibio/{seen}"] for one in (answered, swapped))
    assert before.shape == after.shape
    # Almost all of it is the spot itself in a model that has hardly learned; not one is the same.
    assert (np.abs(before - after).max(axis=1) > 1e-6).mean() > 0.9
    assert (before * after).sum(1).mean() > (before * np.roll(after, 1, axis=0)).sum(1).mean()
  assert not suite.ask(swapped, "contrast")
