import dataclasses

import pytest

from data_pipelines.problems import BadInputError
from hibio.evaluation import scope
from tests.data_pipelines import hand_made


def test_a_label_of_one_class_is_not_scored_and_refused_where_it_is_asked_for(
  tmp_path, monkeypatch
):
  corpus = hand_made.corpus(tmp_path, monkeypatch)
  assert scope.labels_of(corpus, "") == ("side",)
  labels = {"side": ["left", "right"], "grade": ["high"]}
  corpus = dataclasses.replace(corpus, manifest={**corpus.manifest, "labels": labels})
  assert scope.labels_of(corpus, "") == ("side",)
  assert scope.label_of(corpus, "") == "side"
  with pytest.raises(BadInputError, match=r"one class \(high\)"):
    scope.labels_of(corpus, "grade")
