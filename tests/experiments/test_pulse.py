"""From nothing to results, with the commands of the README."""

import json
import math
import shutil

import numpy as np
import pytest
from PIL import Image

from data_pipelines.loading.corpus import Corpus
from data_pipelines.preparation import manifest as manifests
from hibio.evaluation.suite import EVALUATED
from hibio.report import canvas, curves, section_figures
from hibio.training.metrics import read as read_metrics
from tests.experiments.conftest import call, run

LOGGED = (
  "step", "stage", "loss", "loss/spot", "loss/pathway", "loss/region", "chance/spot",
  "pairs_per_second", "monitor/effective_rank_image", "monitor/effective_rank_gene",
)  # fmt: skip


def test_every_log_line_says_where_the_run_stands(workdir):
  lines = read_metrics(workdir)
  assert [line["step"] for line in lines] == list(range(1, 13))
  assert list(dict.fromkeys(line["stage"] for line in lines)) == ["spot", "pathway", "region"]
  for line in lines:
    assert all(name in line for name in LOGGED)
    assert all(math.isfinite(v) for v in line.values() if isinstance(v, float))


def test_held_out_donors_are_looked_at(workdir):
  held_out = [line for line in read_metrics(workdir) if "held_out/loss/spot" in line]
  assert [line["step"] for line in held_out] == [6, 12]


def test_nothing_rings_in_a_run_of_a_few_steps(workdir):
  assert not [line["alarms"] for line in read_metrics(workdir) if "alarms" in line]
  assert json.loads((workdir / "run.json").read_text())["history"][-1]["alarms"] == {}


def _pixels(path) -> np.ndarray:
  with Image.open(path) as image:
    return np.asarray(image.convert("RGB"))


def test_the_training_figure_shows_the_lines_that_were_logged(workdir, tmp_path):
  lines = read_metrics(workdir)
  drawn = _pixels(workdir / "figures" / "training.png")
  again = [
    _pixels(section_figures.saved(curves.training_figure(of), tmp_path / "again.png"))
    for of in (lines, [*lines[:-1], {**lines[-1], "loss/spot": 9.0}])
  ]
  assert (drawn == again[0]).all()
  assert not (drawn == again[1]).all()


def test_the_figure_of_regions_shows_more_fine_than_coarse_ones(workdir):
  _, fine, coarse = np.array_split(_pixels(workdir / "figures" / "regions.png"), 3, axis=1)
  palette = [canvas.rgb_of(colour) for colour in canvas.of_groups(8)]
  seen = [
    sum((panel == colour).all(-1).sum() > 500 for colour in palette) for panel in (fine, coarse)
  ]
  assert seen[0] > seen[1] >= 1


def test_running_a_finished_run_again_changes_nothing(workdir):
  before = (workdir / "metrics.jsonl").read_bytes()
  again = run(
    "experiments.pretrain", "--config=experiments/hibio.py:test", f"--config.workdir={workdir}"
  )
  assert again.returncode == 0, again.stderr[-2000:]
  assert (workdir / "metrics.jsonl").read_bytes() == before


def test_another_config_is_refused_by_the_first_key_that_differs(workdir):
  other = run(
    "experiments.pretrain", "--config=experiments/hibio.py:test", f"--config.workdir={workdir}",
    "--config.training.learning_rate=0.5",
  )  # fmt: skip
  assert other.returncode == 3
  assert "training.learning_rate" in other.stderr
  assert "Traceback" not in other.stderr


def test_every_task_is_asked_of_the_model_the_untrained_one_and_baselines(evaluation):
  methods = {
    task: {row.method for row in evaluation.rows if row.task == task} for task in EVALUATED
  }
  # Classes described by gene sets are an annotation.
  assert not methods.pop("zero_shot")
  assert all(methods.values())
  baseline = {"retrieval": "colour", "annotation": "pca", "domains": "pca", "expression": "texture"}
  for task, simple in baseline.items():
    for name in ("hibio", "untrained", simple):
      assert any(method.startswith(name) for method in methods[task]), (task, name)
  assert not evaluation.banner


def test_every_number_stands_beside_chance_or_says_why_not(evaluation):
  for row in evaluation.rows:
    assert row.value is None or math.isfinite(row.value)
    assert row.note if row.value is None else True
  compared = [row for row in evaluation.rows if row.value is not None and row.chance is None]
  shapes = {"regions", "in one piece", "smallest", "median spots", "largest", "inside one coarser"}
  assert {row.metric for row in compared} <= {"regions_per_section", *shapes}


def test_evaluation_writes_a_page_tables_and_rows(workdir, tmp_path):
  corpus = workdir.parent / "synthetic-tiny" / "corpus"
  done = call(
    "experiments.evaluate", f"--checkpoint={workdir}", f"--corpus={corpus}",
    f"--output={tmp_path / 'out'}", "--tasks=retrieval,expression",
    f"--compare=twin={workdir}",
  )  # fmt: skip
  assert done.returncode == 0, done.stderr[-2000:]
  found = json.loads((tmp_path / "out" / "results.json").read_text())
  rows = found["rows"]
  fields = {"task", "dataset", "protocol", "split", "metric", "method", "value", "n", "chance"}
  assert all(fields <= set(row) for row in rows)
  assert {row["task"] for row in rows} == {"retrieval", "expression"}
  same = {
    (row["task"], row["protocol"], row["metric"], row["method"].partition("/")[0]): row["value"]
    for row in rows
    if row["method"] in ("hibio", "twin", "hibio/image", "twin/image")
  }
  twins = [key for key in same if key[3] == "twin"]
  assert len(twins) > 20
  assert all(same[key] == same[(*key[:3], "hibio")] for key in twins)
  page = (tmp_path / "out" / "report.html").read_text()
  assert all(f">{row['protocol']}" in page for row in rows)
  assert page.count("<img") > 30
  assert "## Summary" in (tmp_path / "out" / "results.md").read_text()
  assert "| retrieval |" in done.stdout


def test_the_levels_are_asked_alone_with_lists_of_ones_own(workdir, tmp_path):
  corpus = workdir.parent / "synthetic-tiny" / "corpus"
  common, sets = tmp_path / "common.txt", tmp_path / "sets.gmt"
  symbols = Corpus.open(corpus).panel.symbols
  common.write_text("\n".join(symbols[:7]))
  new = [symbol for symbol in symbols if symbol.startswith("SYN")][:8]
  sets.write_text("\t".join(["NEW", "", *new]))
  done = call(
    "experiments.evaluate", f"--checkpoint={workdir}", f"--corpus={corpus}",
    f"--output={tmp_path / 'out'}", "--tasks=keywords,anchors,regions",
    f"--genes_housekeeping={common}", f"--gene_sets_held_out={sets}",
  )  # fmt: skip
  assert done.returncode == 0, done.stderr[-2000:]
  rows = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
  assert {row["task"] for row in rows} == {"keywords", "anchors", "regions"}
  assert "7 of the 7 genes of common.txt" in {row["note"] for row in rows}
  assert "held-out gene sets, sets.gmt (1)" in {row["protocol"] for row in rows}
  figures = [path.name for path in (tmp_path / "out" / "figures").iterdir()]
  assert {"regions-nested-regions.png", "regions-sizes-of-regions.png"} <= set(figures)


def test_a_section_to_draw_that_does_not_exist_is_one_line(workdir, tmp_path):
  corpus = workdir.parent / "synthetic-tiny" / "corpus"
  done = call(
    "experiments.evaluate", f"--checkpoint={workdir}", f"--corpus={corpus}",
    f"--output={tmp_path / 'out'}", "--sections=nowhere",
  )  # fmt: skip
  assert done.returncode == 3
  assert "--sections" in done.stderr
  assert len(done.stderr.strip().splitlines()) == 1
  assert not (tmp_path / "out").exists()


def test_a_donor_the_model_was_trained_on_is_refused(workdir, tmp_path):
  corpus = workdir.parent / "synthetic-tiny" / "corpus"
  trained_on = json.loads((corpus / "manifest.json").read_text())["splits"]["train"][0]
  done = call(
    "experiments.evaluate", f"--checkpoint={workdir}", f"--corpus={corpus}",
    f"--donors={trained_on}", f"--output={tmp_path / 'out'}",
  )  # fmt: skip
  assert done.returncode == 3
  assert "was trained on" in done.stderr
  assert len(done.stderr.strip().splitlines()) == 1
  assert not (tmp_path / "out").exists()


def test_a_corpus_prepared_with_other_splits_is_scored_by_those_of_the_run(workdir, tmp_path):
  corpus = tmp_path / "corpus"
  shutil.copytree(workdir.parent / "synthetic-tiny" / "corpus", corpus)
  manifest = manifests.read(corpus)
  splits = manifest["splits"]
  held_out = splits["test"]
  splits["train"], splits["test"] = splits["test"], splits["train"]
  for section in manifest["sections"]:
    section["split"] = next(
      name for name, donors in splits.items() if section["donor_id"] in donors
    )
  manifests.write(corpus, manifest)
  done = call(
    "experiments.evaluate", f"--checkpoint={workdir}", f"--corpus={corpus}",
    "--tasks=contrast", f"--output={tmp_path / 'out'}",
  )  # fmt: skip
  assert done.returncode == 0, done.stderr[-2000:]
  assert "each donor is held out as in" in done.stderr
  rows = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
  assert {row["split"] for row in rows} == {"donors " + ", ".join(held_out)}


@pytest.mark.parametrize(
  ("arguments", "status", "says"),
  [
    (("--config=experiments/hibio.py", "--config.model.widht=3"), 3, "widht"),
    (("--config=experiments/hibio.py:bse",), 3, "variant"),
    (("--config=nowhere.py",), 3, "no such file"),
    (("--config=experiments/hibio.py", "--config.corpus=nowhere"), 3, "nowhere"),
    (("--confg=3",), 2, "--confg: no such flag. Did you mean --config?"),
    (("base",), 2, "unexpected argument 'base'"),
  ],
)
def test_a_mistake_on_the_command_line_is_one_line(arguments, status, says, tmp_path):
  workdir = f"--config.workdir={tmp_path / 'run'}"
  done = call("experiments.pretrain", *arguments, workdir)
  assert done.returncode == status
  assert says in done.stderr
  assert len(done.stderr.strip().splitlines()) == 1
  assert not (tmp_path / "run").exists()
