"""The word beside each figure, and which figure stands for a task."""

import pytest

from hibio.report.headlines import headlines, subject_of
from hibio.report.verdicts import against_chance, compare
from tests.hibio.report.conftest import row


def test_a_clear_lead_is_better_and_the_reverse_is_worse():
  better, worse = row("t", "hibio/image", 0.8), row("t", "colour/image", 0.5)
  assert compare(better, worse) == "better"
  assert compare(worse, better) == "worse"


def test_of_a_loss_less_is_better():
  low = row("t", "hibio", 4.0, metric="loss/spot", chance=5.5)
  high = row("t", "untrained", 5.4, metric="loss/spot", chance=5.5)
  assert compare(low, high) == "better"


def test_a_difference_within_the_larger_spread_ties():
  one, other = row("t", "a", 0.60, spread=0.05), row("t", "b", 0.52, spread=0.1)
  assert compare(one, other) == "tie"


def test_without_a_spread_five_percent_of_the_distance_from_chance_ties():
  base = row("t", "b", 1.0, chance=0.0)
  assert compare(row("t", "a", 1.04, chance=0.0), base) == "tie"
  assert compare(row("t", "a", 1.06, chance=0.0), base) == "better"


def test_the_same_lead_on_every_donor_counts_though_donors_differ_widely():
  one = row("t", "a", 0.55, spread=0.4, parts={"D1": 0.95, "D2": 0.15})
  other = row("t", "b", 0.45, spread=0.4, parts={"D1": 0.85, "D2": 0.05})
  assert compare(one, other) == "better"
  mixed = row("t", "b", 0.45, spread=0.4, parts={"D1": 0.70, "D2": 0.20})
  assert compare(one, mixed) == "tie"


def test_a_missing_value_has_no_verdict():
  assert compare(row("t", "a", None, note="why"), row("t", "b", 1.0)) == "unknown"
  assert compare(row("t", "a", 1.0), None) == "unknown"


def test_chance_is_not_beaten_within_the_spread():
  assert against_chance(row("t", "a", 0.15, chance=0.1, spread=0.06)) == "tie"
  assert against_chance(row("t", "a", 0.15, chance=0.1, spread=0.04)) == "better"
  assert against_chance(row("t", "a", 0.05, chance=0.1)) == "worse"


def test_a_figure_that_learned_nothing_is_warned_of():
  rows = [
    row("t", "hibio/image", 0.11, spread=0.02, chance=0.1),
    row("t", "untrained/image", 0.12, chance=0.1),
    row("t", "colour/image", 0.05, chance=0.1),
  ]
  (line,) = headlines(rows)
  assert line.against_baseline == "better"
  assert line.warnings == ("no better than chance", "no better than untrained")


def test_the_baseline_is_the_best_that_sees_no_more_than_the_model():
  rows = [
    row("t", "hibio/image", 0.6), row("t", "hibio/fused", 0.7), row("t", "colour/image", 0.3),
    row("t", "texture/image", 0.4), row("t", "pca/gene", 0.9), row("t", "oracle/image", 1.0),
    row("t", "untrained/image", 0.5),
  ]  # fmt: skip
  image, fused = headlines(rows)
  assert (image.sees, image.baseline.method) == ("image", "texture/image")
  assert image.untrained.method == "untrained/image"
  assert (fused.sees, fused.baseline.method) == ("fused", "pca/gene")


def test_published_figures_are_no_baseline():
  rows = [row("t", "hibio/gene", 0.3), row("t", "GraphST", 0.557, note="published, not rerun")]
  (line,) = headlines(rows)
  assert line.baseline is None


def test_a_leaky_protocol_never_stands_for_a_task():
  leaky = "random split, LEAKY: neighbouring spots on both sides"
  rows = [
    row("annotation", "hibio/image", 0.99, protocol=leaky, metric="balanced_accuracy"),
    row("annotation", "hibio/image", 0.50, protocol="linear probe", metric="balanced_accuracy"),
  ]
  (line,) = headlines(rows)
  assert line.model.value == 0.50


def test_regions_do_not_stand_for_spots():
  rows = [row("domains", "hibio/image@region1", 0.9), row("domains", "hibio/image", 0.3)]
  (line,) = headlines(rows)
  assert line.model.method == "hibio/image"


@pytest.mark.parametrize(
  ("task", "wanted", "others"),
  [
    (
      "retrieval",
      ("image_to_gene, gallery: section, 939 to 950 spots", "recall@5"),
      [
        ("image_to_gene, gallery: other sections with leaf, 2000 spots", "label_recall@5"),
        ("image_to_gene, gallery: section, 939 to 950 spots", "near_recall@5"),
        ("gene_to_image, gallery: section, 939 to 950 spots", "recall@5"),
      ],
    ),
    (
      "expression",
      ("ridge_cv, log1p_cp10k, hvg50", "pearson_in_section"),
      [("hest_readme, log1p_raw, hvg50", "pearson_pooled"),
       ("ridge_cv, log1p_raw, hvg50", "pearson_in_section"),
       ("ridge_cv, log1p_cp10k, hvg50", "mse"),
       ("ridge_cv, log1p_cp10k, all", "pearson_in_section")],
    ),
    (
      "domains",
      ("k-means, k = 6 labels of leaf, 0 unlabelled spots left out, no smoothing", "ari"),
      [("k-means, k = 6 labels of leaf, 0 unlabelled spots left out, smoothed once over 6 "
        "neighbours", "ari"),
       ("Ward, k = 6 labels of leaf, 0 unlabelled spots left out, no smoothing", "ari"),
       ("k-means, k = 6 labels of leaf, 0 unlabelled spots left out, no smoothing", "nmi")],
    ),
    (
      "annotation",
      ("linear probe, leaf", "balanced_accuracy"),
      [("few-shot, 4 spots a class, nearest class mean, leaf", "balanced_accuracy"),
       ("zero-shot by gene sets, leaf", "balanced_accuracy"),
       ("linear probe, leaf", "balanced_accuracy_per_donor")],
    ),
  ],
)  # fmt: skip
@pytest.mark.parametrize("first", [True, False])
def test_the_headline_is_found_among_other_protocols(task, wanted, others, first):
  names = [wanted, *others] if first else [*others, wanted]
  rows = [row(task, "hibio/image", 0.5, protocol=p, metric=m) for p, m in names]
  (line,) = headlines(rows)
  assert (line.model.protocol, line.model.metric) == wanted


def test_without_a_model_the_features_that_were_given_are_the_subject():
  rows = [
    row("expression", method, value)
    for method, value in (
      ("uni/image", 0.5), ("uni-untrained/image", 0.2), ("gigapath/image", 0.4),
      ("colour/image", 0.3), ("depth/gene", 0.9),
    )
  ]  # fmt: skip
  (line,) = headlines(rows)
  assert subject_of(rows) == "uni"
  assert (line.model.value, line.untrained.value, line.baseline.value) == (0.5, 0.2, 0.4)
  (line,) = headlines([*rows, row("expression", "hibio/image", 0.1)])
  assert (line.model.value, line.baseline.value) == (0.1, 0.5)


def test_domains_are_those_that_the_rule_reads_for_the_model_and_for_its_untrained_twin():
  rows = [
    row("domains", "hibio/gene", 0.3), row("domains", "hibio/gene@anchors", 0.9),
    row("domains", "hibio/gene@most coherent", 0.8), row("domains", "untrained/gene", 0.1),
    row("domains", "untrained/gene@most coherent", 0.2), row("domains", "pca/gene", 0.5),
  ]  # fmt: skip
  (line,) = headlines(rows)
  assert (line.model.value, line.untrained.value, line.baseline.value) == (0.8, 0.2, 0.5)


def test_of_a_single_section_nothing_is_called():
  one = row("t", "hibio/image", 0.043, parts={"A1": 0.043}, chance=0.014)
  (line,) = headlines([one, row("t", "colour/image", 0.046, parts={"A1": 0.046}, chance=0.014)])
  assert (line.against_baseline, line.against_chance) == ("alone", "alone")
  assert not line.warnings


def test_sizes_of_regions_do_not_answer_whether_they_hold_one_label():
  assert not list(headlines([row("regions", "hibio/fused", 100.0, metric="largest", chance=None)]))
