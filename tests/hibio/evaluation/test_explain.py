"""The explainers on the tiny run: what they write, and that their controls fail as they must."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from data_pipelines.console import Parts
from data_pipelines.loading.corpus import Corpus
from data_pipelines.problems import BadInputError
from hibio import pretrained
from hibio.evaluation import anchors, keyword_lists, keywords, regions, subject
from hibio.evaluation.rows import Row
from hibio.report import levels
from tests.experiments.conftest import call, run


@pytest.fixture(scope="module")
def of(workdir) -> subject.Subject:
  corpus = Corpus.open(workdir.parent / "synthetic-tiny" / "corpus")
  known = keyword_lists.of_corpus(corpus)
  return subject.gathered(pretrained.load(workdir), corpus, (), known, Parts("explain", {}))


@pytest.fixture(scope="module")
def lists(of):
  return {section: keywords.measure(of, section) for section in of.donor_of}


@pytest.fixture(scope="module")
def scores(of) -> anchors.AnchorScores:
  return anchors.measure(of, anchors.of_corpus(of.corpus, of.corpus.gene_set_names))


def _by(rows, protocol, metric):
  return {
    row.method: row for row in rows if row.protocol.startswith(protocol) and row.metric == metric
  }


def test_reweighted_scores_pick_less_housekeeping_than_raw_counts_at_the_same_k(of, lists):
  rows = list(keywords.rows(of, lists))
  share = _by(rows, "what is picked", "housekeeping_share")
  assert share["tf_idf"].value < share["raw"].value
  k = of.model.model.config.keywords.num_keywords
  for one in lists.values():
    assert {len(found) for found in one.lists.values()} == {k}


def test_no_list_is_more_spatial_than_the_one_ranked_by_morans_i_and_shuffled_spots_have_none(
  of, lists
):
  rows = list(keywords.rows(of, lists))
  spatial = _by(rows, "what is picked", "morans_i")
  assert max(spatial, key=lambda method: spatial[method].value) == keywords.SVG
  for method, row in _by(rows, "what is picked", "morans_i_shuffled_spots").items():
    assert abs(row.value - row.chance) < 0.05, method


def test_a_list_overlaps_wholly_with_itself_and_chance_is_what_random_lists_give(of, lists):
  rows = [row for row in keywords.rows(of, lists) if row.protocol.startswith("overlap")]
  for row in rows:
    assert (row.value == 1.0) == (row.method == row.metric)
    assert 0 < row.chance < 0.2


def test_controls_of_the_anchors_stay_at_chance(of, scores):
  rows = list(anchors.rows(of, scores))
  assert {row.method for row in rows} == {
    anchors.ANCHORS, anchors.WITHOUT_OFFSET, anchors.RANDOM, anchors.UNTRAINED, anchors.SHUFFLED
  }  # fmt: skip
  for row in rows:
    if row.method == anchors.SHUFFLED and row.metric in ("correlation", "auroc"):
      assert abs(row.value - row.chance) < 0.1
  assert scores.correlation[anchors.RANDOM, "image"].shape == (
    anchors.DRAWS, len(of.corpus.gene_set_names)
  )  # fmt: skip


def test_the_gene_side_of_an_oracle_follows_the_activity(of, scores):
  # Activity itself as the score: the measure can tell what is there.
  (section, rows), *_ = of.held_out.sections()
  activity = scores.activity[section]
  found = anchors.anchor_scores.correlations(activity, activity)
  np.testing.assert_allclose(found[np.isfinite(found)], 1.0)


def test_every_region_is_in_one_piece_and_inside_a_coarser_one(of):
  rows = list(regions.rows(of, regions.measure(of)))
  shapes = [row for row in rows if row.metric in ("in one piece", "inside one coarser")]
  assert len(shapes) == 9  # three sources: two levels in one piece, the finer one nested
  assert {row.value for row in shapes} == {1.0}
  for row in rows:
    if row.metric.startswith("homogeneity"):
      assert row.value > row.chance


def test_held_out_sets_that_resemble_trained_ones_are_left_out_and_counted(of, tmp_path):
  symbols, corpus = of.corpus.panel.symbols, of.corpus
  trained = [symbols[gene] for gene in np.flatnonzero(corpus.membership[0])]
  new = [symbol for symbol in symbols if symbol.startswith("SYN")][:8]
  path = tmp_path / "sets.gmt"
  path.write_text("\n".join("\t".join(line) for line in (["OLD", "", *trained], ["NEW", "", *new])))
  sets = anchors.held_out(path, corpus)
  assert sets.names == ("NEW",)
  assert sets.notes[-1].endswith(": 1")
  path.write_text("\t".join(["OLD", "", *trained]))
  with pytest.raises(BadInputError, match="unlike those of training"):
    anchors.held_out(path, corpus)


def test_a_list_of_housekeeping_genes_is_read_with_or_without_a_header(of, tmp_path):
  panel = of.corpus.panel
  path = tmp_path / "list.txt"
  path.write_text("\n".join([*panel.symbols[:3], "NOT_THERE"]))
  assert keyword_lists.of_file(path, panel).genes.sum() == 3
  path.write_text("Ensembl ID;Gene name\n" + "\n".join(f"x;{name}" for name in panel.symbols[:4]))
  assert keyword_lists.of_file(path, panel).genes.sum() == 4
  path.write_text("nothing\n")
  with pytest.raises(BadInputError, match="on the panel"):
    keyword_lists.of_file(path, panel)


@pytest.mark.parametrize(
  ("name", "known"), [("RPL13A", True), ("MT-CO1", True), ("mt-Nd1", True), ("RPE", False)]
)
def test_ribosomal_and_mitochondrial_genes_are_known_by_name(name, known):
  assert bool(keyword_lists.PATTERN.match(name)) == known


def test_a_table_has_a_line_a_method_and_ends_with_chance():
  rows = [
    Row("regions", "c", "level 1", "donors A", "regions", method, value, 3, chance)
    for method, value, chance in (("hibio", 12.0, None), ("coordinates alone", None, None))
  ] + [Row("regions", "c", "level 1", "donors A", "homogeneity", "hibio", 0.5, 3, 0.125)]
  text = "\n".join(levels.tables(rows))
  assert "### level 1 (donors A)" in text
  assert "| hibio | 12" in text
  assert "| coordinates alone | - | - |" in text
  assert "| *chance* | - | 0.125 |" in text


def test_the_command_writes_tables_rows_and_figures(workdir, tmp_path):
  corpus = workdir.parent / "synthetic-tiny" / "corpus"
  done = run(
    "experiments.explain", f"--checkpoint={workdir}", f"--corpus={corpus}",
    f"--output={tmp_path / 'out'}",
  )  # fmt: skip
  assert done.returncode == 0, done.stderr[-2000:]
  found = json.loads((tmp_path / "out" / "explain.json").read_text())
  assert {row["task"] for row in found["rows"]} == {"keywords", "anchors", "regions"}
  assert all(row["value"] is None or math.isfinite(row["value"]) for row in found["rows"])
  text = (tmp_path / "out" / "explain.md").read_text()
  assert found["banner"] == ""
  for name in ("keyword_maps", "anchors", "regions", "region_sizes"):
    assert f"({name}.png)" in text
    with Image.open(tmp_path / "out" / f"{name}.png") as image:
      assert image.width > 300


def test_a_section_that_does_not_exist_is_one_line(workdir, tmp_path):
  corpus = workdir.parent / "synthetic-tiny" / "corpus"
  done = call(
    "experiments.explain", f"--checkpoint={workdir}", f"--corpus={corpus}",
    f"--output={tmp_path / 'out'}", "--sections=nowhere",
  )  # fmt: skip
  assert done.returncode == 3
  assert "--sections" in done.stderr
  assert len(done.stderr.strip().splitlines()) == 1
  assert not (tmp_path / "out").exists()
