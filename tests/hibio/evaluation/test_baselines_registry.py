"""A baseline is one function and one line: a toy one from outside is asked like those that ship."""

import numpy as np
import pytest

from data_pipelines.loading.corpus import Corpus
from hibio import pretrained
from hibio.evaluation import compared, scope, suite
from hibio.evaluation import setting as setting_
from hibio.evaluation.baselines import BASELINES, Baseline, is_control
from hibio.evaluation.suite import TASKS
from hibio.report import markdown


def _left_or_right(given):
  x = given.cohort.spots["x_um"].to_numpy(np.float32)
  return np.stack([x, x > x.mean()], axis=1).astype(np.float32)


@pytest.fixture
def toy(monkeypatch):
  monkeypatch.setitem(
    BASELINES,
    "toy",
    Baseline(
      ("gene",), _left_or_right, tasks=("annotation",), control=True, about="the side of the tissue"
    ),
  )


def test_a_baseline_from_outside_is_in_the_rows_of_an_evaluation_and_of_an_ablation(toy, workdir):
  model = pretrained.load(workdir)
  corpus = Corpus.open(workdir.parent / "synthetic-tiny" / "corpus")
  options = suite.Options(tasks=("annotation", "retrieval"), label="compartment")
  asked = setting_.read(
    model, corpus, scope.scored_donors(corpus, ()), ("compartment",), thorough=False
  )
  beside = compared.with_others(asked)
  compared_rows = suite.ask(beside, "annotation")
  for rows in (suite.evaluate(model, corpus, options).rows, compared_rows):
    found = [row for row in rows if row.method == "toy/gene"]
    assert {row.task for row in found} == {"annotation"}
    assert all(0 <= row.value <= 1 for row in found if row.metric == "balanced_accuracy")
  assert not [row for row in suite.ask(beside, "domains") if row.method.startswith("toy")]
  assert is_control("toy/gene")
  assert "`toy`, control: the side of the tissue" in markdown.markdown(compared_rows)


def test_every_baseline_is_asked_by_a_task_that_exists_and_has_features_or_is_known_to_it():
  for name, baseline in BASELINES.items():
    assert set(baseline.tasks) <= set(TASKS), name
    assert baseline.tasks, name
    made = baseline.features is not None, baseline.of_patches is not None
    assert sum(made) == (1 if baseline.sees else 0), name
