import numpy as np

from data_pipelines.preparation.spot_graph import spot_graph
from hibio.evaluation import regions

LINE = spot_graph(np.stack([100.0 * np.arange(6), np.zeros(6)], axis=1))[0]


def test_a_region_in_two_pieces_is_noticed():
  assert regions.in_one_piece(np.array([0, 0, 1, 1, 2, 2]), LINE) == 1.0
  assert regions.in_one_piece(np.array([0, 0, 1, 1, 0, 2]), LINE) == 2 / 3


def test_a_region_that_lies_in_two_coarser_ones_is_noticed():
  fine = np.array([5, 5, 7, 7, 9, 9])
  assert regions.nested(fine, np.array([1, 1, 1, 1, 2, 2])) == 1.0
  assert regions.nested(fine, np.array([1, 2, 1, 1, 2, 2])) == 2 / 3


def test_sizes_count_the_spots_of_each_region():
  np.testing.assert_array_equal(regions.sizes(np.array([4, 9, 4, 4])), [3, 1])


def test_every_region_is_in_one_piece_and_inside_a_coarser_one(evaluation):
  rows = [row for row in evaluation.rows if row.task == "regions"]
  shapes = [row for row in rows if row.metric in ("in one piece", "inside one coarser")]
  assert {row.method for row in shapes} == {
    "hibio/fused", "untrained/fused", "pca/gene", "coordinates/position"
  }  # fmt: skip
  assert len(shapes) == 12  # two levels in one piece, the finer one nested
  assert {row.value for row in shapes} == {1.0}
  for row in rows:
    if row.metric.startswith("homogeneity"):
      assert row.value > row.chance
