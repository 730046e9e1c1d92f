"""Several seeds as one table: right numbers, and refusals where they would not be."""

import json

import numpy as np
import pytest

from data_pipelines.problems import BadInputError
from hibio.evaluation import over_runs
from tests.experiments.conftest import call
from tests.hibio.report.conftest import row

VALUES = (0.5, 0.6, 0.8)


def write(path, rows, fingerprint="f", step=400):
  path.write_text(json.dumps({
    "corpus": {"name": "c", "fingerprint": fingerprint},
    "checkpoint": {"step": step},
    "rows": [one.to_json() for one in rows],
  }))  # fmt: skip
  return path


@pytest.fixture
def files(tmp_path):
  return [
    write(tmp_path / f"{place}.json", [row("t", "hibio", value), row("t", "colour", 0.4)])
    for place, value in enumerate(VALUES)
  ]


def summarised(files):
  return over_runs.summarised([over_runs.read(path) for path in files])


def test_a_figure_is_the_mean_and_sample_deviation_over_runs(files):
  model, colour = summarised(files)
  assert model.value == pytest.approx(np.mean(VALUES))
  assert model.spread == pytest.approx(np.std(VALUES, ddof=1))
  assert list(model.parts.values()) == list(VALUES)
  assert (colour.value, colour.spread) == (pytest.approx(0.4), pytest.approx(0.0))


def test_a_run_without_a_value_is_told(files, tmp_path):
  write(files[2], [row("t", "hibio", None, note="no labels"), row("t", "colour", 0.4)])
  model, _ = summarised(files)
  assert model.value == pytest.approx(0.55)
  assert "2 of 3 runs have a value" in model.note


def test_another_corpus_is_refused(files):
  write(files[1], [row("t", "hibio", 0.1), row("t", "colour", 0.4)], fingerprint="g")
  with pytest.raises(BadInputError, match="corpus: found g, expected f"):
    summarised(files)


def test_another_number_of_steps_is_refused(files):
  write(files[1], [row("t", "hibio", 0.1), row("t", "colour", 0.4)], step=200)
  with pytest.raises(BadInputError, match="checkpoint step: found 200"):
    summarised(files)


def test_other_protocols_are_refused_by_name(files):
  write(files[1], [row("t", "hibio", 0.1), row("t", "colour", 0.4, protocol="other")])
  with pytest.raises(BadInputError, match="2 that one run alone has, e.g. t, other"):
    summarised(files)


def test_the_same_run_twice_is_refused(files):
  with pytest.raises(BadInputError, match="the same figures"):
    summarised([files[0], files[0]])


def test_a_single_run_is_refused(files):
  with pytest.raises(BadInputError, match="at least two runs"):
    summarised(files[:1])


@pytest.mark.parametrize("text", ["", "[]", '{"rows": 3}', '{"rows": [{}], "corpus": {}}', "{"])
def test_what_is_no_results_file_is_told_in_one_line(tmp_path, text):
  path = tmp_path / "x.json"
  path.write_text(text)
  with pytest.raises(BadInputError, match="no results"):
    over_runs.read(path)


def test_the_command_writes_tables_and_rows(files, tmp_path):
  output = tmp_path / "out"
  done = call("experiments.summary", f"--results={','.join(map(str, files))}", f"--output={output}")
  assert done.returncode == 0, done.stderr[-2000:]
  assert "0.633 ± 0.153" in done.stdout
  assert "0.633 ± 0.153" in (output / "summary.md").read_text()
  rows = json.loads((output / "summary.json").read_text())["rows"]
  assert rows[0]["value"] == pytest.approx(np.mean(VALUES))


def test_a_missing_file_ends_the_command_with_one_line(tmp_path):
  done = call("experiments.summary", f"--results={tmp_path}/a.json,{tmp_path}/b.json")
  assert done.returncode == 3
  assert len(done.stderr.strip().splitlines()) == 1
  assert "a.json" in done.stderr
