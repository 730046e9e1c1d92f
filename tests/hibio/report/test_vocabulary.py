"""A reader finds a word for whatever an evaluation names."""

import re

import pytest

from hibio.evaluation.baselines import BASELINES
from hibio.report import markdown, vocabulary
from tests.hibio.report.conftest import row


def test_every_task_metric_and_method_of_an_evaluation_is_explained(evaluation):
  rows = evaluation.rows
  for task in {one.task for one in rows}:
    assert vocabulary.task_of(task).explained, task
    assert vocabulary.task_of(task).reading, task
  methods = {one.method for one in rows}
  for metric in {one.metric for one in rows} - methods:  # lists overlap with those of a method
    assert vocabulary.metrics_explained([metric]), metric
  for method in methods:
    assert vocabulary.methods_explained([method]), method


@pytest.mark.parametrize("table", [vocabulary._METRICS, vocabulary._METHODS])
def test_every_row_is_the_first_that_fits_its_own_name(table):
  names = [name for _, name, _ in table]
  assert len(set(names)) == len(names)
  for _, name, text in table:
    example = name.replace("@k", "@5").split(",")[0]
    assert vocabulary._explained([example], table) == [(name, text)]


def test_every_baseline_is_explained_by_its_own_line_of_the_registry():
  for name, baseline in BASELINES.items():
    ((told, text),) = vocabulary.methods_explained([f"{name}/gene"])
    assert told == name
    assert baseline.about, name
    assert text.endswith(baseline.about)


def test_a_family_of_metrics_is_explained_once_and_a_stranger_not_at_all():
  found = vocabulary.metrics_explained(["recall@1", "recall@5", "recall@5%", "my own"])
  assert [name for name, _ in found] == ["recall@k", "recall@k%"]


@pytest.mark.parametrize(
  ("protocol", "says"),
  [
    ("ridge_cv, log1p_cp10k, hvg50", ("ridge", "10,000", "most variable")),
    ("retrieval, log1p_raw, heg50", ("retrieves", "raw counts", "most expressed")),
    ("image_to_gene, gallery: own section, 101 spots", ("query is a patch",)),
  ],
)
def test_each_part_of_a_protocol_is_told(protocol, says):
  told = vocabulary.protocol_explained(protocol)
  assert all(words in told for words in says)


def test_an_unknown_task_has_a_title_and_no_claims():
  assert vocabulary.task_of("my_task") == vocabulary.Task("My task")


def test_a_markdown_table_says_what_is_measured_and_how_to_read_it():
  text = markdown.markdown([
    row("retrieval", "hibio", 0.5, metric="recall@5", protocol="image_to_gene, gallery: all"),
  ])  # fmt: skip
  about = vocabulary.TASKS["retrieval"]
  found = text[text.index(f"## {about.title}") :]
  assert about.explained in found
  assert f"How to read it: {about.reading}" in found
  assert "The query is a patch" in found
  assert re.search(r"Metrics: `recall@k`, share of queries", found)
  assert re.search(r"Methods: `hibio`, this checkpoint", found)
