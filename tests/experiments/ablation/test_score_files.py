"""Answers that are kept are those to this question, of this model, on these features."""

from experiments.ablation import score_files

CONFIG = {"model": {"width": 8}, "training": {"seed": 0}}


def test_baselines_on_other_features_are_asked_again(tmp_path):
  path = tmp_path / score_files.BASELINES
  about = score_files.about_untrained(CONFIG, "0" * 16)
  score_files.write(path, score_files.Scores(about, {"retrieval": []}))
  assert not score_files.read(path, about).missing(["retrieval"])
  other = score_files.about_untrained(CONFIG, "f" * 16)
  assert score_files.read(path, other).missing(["retrieval"]) == ("retrieval",)
