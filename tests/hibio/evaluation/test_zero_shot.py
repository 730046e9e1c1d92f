"""Annotation from gene sets alone: planted classes are found, random sets find nothing."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from hibio.evaluation import domains, tasks, zero_shot
from hibio.evaluation.baselines import MARKER_MEAN
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.gene_sets import Markers
from hibio.evaluation.methods import MODEL

LEAVES = ("leaf0", "leaf1", "leaf2", "leaf3")


@pytest.fixture
def marked(cohort) -> tuple[Cohort, np.ndarray]:
  """The cohort with six genes planted in each leaf, and those genes as gene sets."""
  rng = np.random.default_rng(5)
  leaf = cohort.features["truth"].argmax(1)
  membership = np.zeros((4, 40), bool)
  for number in range(4):
    membership[number, number * 6 : number * 6 + 6] = True
  counts = rng.poisson(2.0 + 3.0 * membership[leaf]).astype(np.int64)
  return dataclasses.replace(cohort, counts=type(cohort.counts)(counts)), membership


def _rows(cohort, scores, names=LEAVES, **options):
  found = zero_shot.by_scores(cohort, scores, names, "leaf", "m", "all", **options)
  return {row.metric: row for row in found}


def test_the_mean_of_marker_genes_finds_the_planted_classes(marked):
  cohort, membership = marked
  rows = _rows(cohort, zero_shot.marker_mean(cohort, membership))
  assert rows["balanced_accuracy"].value > 0.8
  assert rows["balanced_accuracy"].chance == 0.25
  assert min(rows["auroc"].parts.values()) > 0.85
  assert rows["macro_f1"].chance == pytest.approx(0.25, abs=0.03)


def test_random_gene_sets_of_the_same_sizes_find_nothing(marked):
  cohort, membership = marked
  rng = np.random.default_rng(0)
  values = []
  for _ in range(8):
    random = zero_shot.random_sets(membership, rng)
    assert random.sum(1).tolist() == [6, 6, 6, 6]
    values.append(_rows(cohort, zero_shot.marker_mean(cohort, random))["balanced_accuracy"].value)
  assert abs(np.mean(values) - 0.25) < 0.1


def test_each_spot_is_given_its_own_best_class(marked):
  """An argmax over the flattened matrix would give one class to all."""
  cohort, _ = marked
  found = zero_shot.predictions(cohort, np.eye(4)[np.arange(360) % 4], LEAVES, "leaf")
  assert found.spots["predicted"][:4].tolist() == list(LEAVES)


def test_embeddings_near_their_anchor_are_found_by_image_gene_and_both(marked):
  cohort, _ = marked
  rng = np.random.default_rng(0)
  anchors = rng.normal(size=(4, 16)).astype(np.float32)
  leaf = cohort.features["truth"].argmax(1)
  near = (anchors[leaf] + rng.normal(size=(360, 16))).astype(np.float32)
  fused = np.concatenate([near, anchors[leaf]], axis=1)
  rows = _rows(cohort, zero_shot.similarity(near, anchors))
  assert rows["balanced_accuracy"].value > 0.8
  both = _rows(cohort, zero_shot.similarity(fused, anchors))
  assert both["balanced_accuracy"].value > rows["balanced_accuracy"].value
  noise = _rows(cohort, zero_shot.similarity(rng.normal(size=(360, 16)), anchors))
  assert abs(noise["balanced_accuracy"].value - 0.25) < 0.08
  assert abs(noise["auroc"].value - noise["auroc"].chance) < 0.05


def test_similarity_is_the_mean_cosine_of_the_parts():
  rng = np.random.default_rng(0)
  image, gene, anchors = rng.normal(size=(3, 5, 4))

  def cosine(values):
    length = np.linalg.norm(values, axis=1)[:, None] * np.linalg.norm(anchors, axis=1)[None]
    return values @ anchors.T / length

  got = zero_shot.similarity(np.hstack([image, gene]), anchors)
  np.testing.assert_allclose(got, (cosine(image) + cosine(gene)) / 2, atol=1e-12)
  with pytest.raises(ValueError, match="width 6"):
    zero_shot.similarity(rng.normal(size=(5, 6)), anchors)


def test_a_shift_of_a_whole_section_changes_no_answer(marked):
  cohort, membership = marked
  scores = zero_shot.marker_mean(cohort, membership)
  shifted = scores.copy()
  shifted[:60] = shifted[:60] * 3.0 + np.array([50.0, 0.0, -9.0, 4.0])
  before = zero_shot.predictions(cohort, scores, LEAVES, "leaf").spots["predicted"]
  after = zero_shot.predictions(cohort, shifted, LEAVES, "leaf").spots["predicted"]
  assert before.tolist() == after.tolist()


def test_class_names_are_matched_in_any_case_and_classes_without_a_set_are_left_out(marked):
  cohort, membership = marked
  names = ("LEAF2", "Leaf0 ", "something else", "leaf1")
  scores = zero_shot.marker_mean(cohort, membership[[2, 0, 3, 1]])
  found = zero_shot.predictions(cohort, scores, names, "leaf")
  assert found.classes == ("leaf0", "leaf1", "leaf2")
  assert len(found.spots) == (cohort.spots["leaf"] != "leaf3").sum()
  assert found.notes == ("left out, no gene set: leaf3",)
  assert (found.spots["predicted"] == found.spots["truth"]).mean() > 0.8


def test_a_class_scores_the_mean_of_its_sets_in_section_units(marked):
  cohort, _ = marked
  scores = np.random.default_rng(0).normal(size=(360, 3)) * [1.0, 5.0, 0.1]
  mapping = {"leaf0": ["a", "b", "not in the file"], "leaf1": ["c"]}
  found = zero_shot.predictions(cohort, scores, ("a", "b", "c"), "leaf", mapping)
  want = np.empty((360, 3))
  for _, rows in cohort.sections():
    want[rows] = stats.zscore(scores[rows])
  want = want[found.spots["row"]]
  np.testing.assert_allclose(found.scores[:, 0], (want[:, 0] + want[:, 1]) / 2, atol=1e-6)
  np.testing.assert_allclose(found.scores[:, 1], want[:, 2], atol=1e-6)


def test_genes_that_a_section_does_not_measure_do_not_lower_its_scores(marked):
  cohort, membership = marked
  measured = dict(cohort.measured) | {"s0": np.arange(40) % 6 > 2}
  counts = cohort.counts.toarray()
  counts[:60, np.arange(40) % 6 <= 2] = 0
  half = dataclasses.replace(cohort, measured=measured, counts=type(cohort.counts)(counts))
  got = zero_shot.marker_mean(half, membership)[:60]
  kept = membership & (np.arange(40) % 6 > 2)
  np.testing.assert_allclose(got, zero_shot.marker_mean(half, kept)[:60], atol=1e-6)


def test_no_matching_set_gives_a_reason_not_a_number(marked):
  cohort, membership = marked
  scores = zero_shot.marker_mean(cohort, membership)
  (row,) = zero_shot.by_scores(cohort, scores, ("a", "b", "c", "d"), "leaf", "m", "all")
  assert row.value is None
  assert "no gene set: leaf0, leaf1, leaf2, leaf3" in row.note


def test_classes_are_read_of_regions_by_the_model_and_by_the_mean_of_marker_genes(evaluation):
  """Else the model's regions would stand beside single spots alone."""
  classes = sorted(set(evaluation.setting.scored.spots["leaf"].astype(str)))
  membership = np.random.default_rng(0).random((len(classes), len(evaluation.setting.corpus.panel)))
  markers = Markers(tuple(classes), membership < 0.2)
  setting = dataclasses.replace(evaluation.setting, markers=markers)
  methods = [m for m in setting.methods if m.name in (MODEL, MARKER_MEAN)]
  rows = [row for method in methods for row in tasks.annotate_by_gene_sets(setting, method)]
  by_region = {f"{MODEL}/fused@region1", f"{MARKER_MEAN}/gene@region1"}
  assert by_region < {row.method for row in rows if row.value is not None}

  of_spots = zero_shot.marker_mean(setting.seen_by("pca/gene"), markers.membership)
  of_regions = domains.region_mean(of_spots, setting.regions("pca/gene")[0][setting.is_scored])
  want = zero_shot.by_scores(setting.scored, of_regions, classes, "leaf", "m", "all")
  got = {r.metric: r.value for r in rows if r.method == f"{MARKER_MEAN}/gene@region1"}
  assert got == {row.metric: row.value for row in want}
