"""What was planted, as features: of the right spots, and without what no image shows."""

import json

import numpy as np
import pandas as pd
import pytest

from hibio.evaluation.baselines import planted


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
  folder = tmp_path_factory.mktemp("raw")
  truth = {"silent_programs": ["HIDDEN"], "field_programs": {"HIDDEN": "silent", "M": "tone"}}
  (folder / "truth.json").write_text(json.dumps(truth))
  for number, section in enumerate(("B", "A")):
    (folder / section).mkdir()
    pd.DataFrame(
      {
        "barcode": ["x", "y"],
        "leaf": ["one", "two"],
        "share/one": [1.0, 0.0],
        "field/silent": [7.0, 7.0],
        "field/tone": [10.0 * number, 10.0 * number + 1],
        "activity/M": [0.1, 0.2],
        "activity/HIDDEN": [5.0, 6.0],
      }
    ).to_parquet(folder / section / "truth.parquet")
  return folder / "truth.json"


def test_features_are_those_of_the_spots_asked_for_in_their_order(drawn):
  spots = pd.DataFrame({"section_id": ["A", "B", "A"], "spot_id": ["y", "x", "x"]})
  found = planted.perfect_features(drawn, spots)
  np.testing.assert_allclose(found["gene"], [[0.2, 6], [0.1, 5], [0.1, 5]])
  np.testing.assert_allclose(found["image"][:, 1], [11, 0, 10])


def test_the_image_oracle_sees_nothing_that_no_image_shows(drawn):
  spots = pd.DataFrame({"section_id": ["A"], "spot_id": ["x"]})
  (seen,) = planted.perfect_features(drawn, spots)["image"]
  assert seen.tolist() == pytest.approx([1.0, 10.0, 0.1])
