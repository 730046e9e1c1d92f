import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from data_pipelines import readers
from hibio.evaluation.baselines import counts, neighbours
from hibio.evaluation.baselines.neighbours import nearest_spots
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.predictions import labelled
from hibio.evaluation.published import rows as published_rows

GENES = np.arange(30)


def _same_up_to_sign(got, want):
  signs = np.sign((got * want).sum(0))
  np.testing.assert_allclose(got, want * signs, atol=2e-3)  # float32


def _banksy(fit: Cohort, cohort: Cohort, components: int, weight: float = 0.8):
  blocks = (neighbours.neighbourhood(one, GENES) for one in (fit, cohort))
  return neighbours.banksy(*blocks, weight, components)


def test_without_a_neighbourhood_it_is_plain_principal_components(cohort):
  values = cohort.log_expression(GENES)
  for _, rows in cohort.sections():
    values[rows] = (values[rows] - values[rows].mean(0)) / values[rows].std(0)
  want = PCA(5, random_state=0).fit_transform(values)
  _same_up_to_sign(_banksy(cohort, cohort, 5, weight=0.0), want)


def test_the_axes_come_from_the_fitting_donors(cohort):
  fit, test = cohort.split("train"), cohort.split("test")
  own = _banksy(test, test, 4)
  foreign = _banksy(fit, test, 4)
  assert own.shape == foreign.shape == (len(test.spots), 4)
  assert np.abs(np.abs(own) - np.abs(foreign)).max() > 0.01
  again = _banksy(fit, cohort, 4)
  np.testing.assert_allclose(again[-len(foreign) :], foreign, atol=1e-3)


def test_the_gradient_equals_the_formula_written_out(cohort):
  positions = cohort.spots[["x_um", "y_um"]].to_numpy()[:60]
  values = cohort.log_expression(GENES)[:60]
  got = neighbours.gradient(values, positions)
  for spot in (0, 17):
    offsets = positions - positions[spot]
    distance = np.hypot(*offsets.T)
    near = np.argsort(distance)[1:31]
    weight = np.exp(-((distance[near] / np.median(distance[near])) ** 2))
    angle = np.arctan2(offsets[near, 1], offsets[near, 0])
    centred = values[near] - values[near].mean(0)
    cosine = (weight * np.cos(angle)) @ centred / weight.sum()
    sine = (weight * np.sin(angle)) @ centred / weight.sum()
    np.testing.assert_allclose(got[spot], np.hypot(cosine, sine), atol=1e-5)


def test_the_gradient_does_not_turn_with_the_tissue(cohort):
  positions = cohort.spots[["x_um", "y_um"]].to_numpy()[:60]
  values = cohort.log_expression(GENES)[:60]
  turn = np.array([[0.6, 0.8], [-0.8, 0.6]])
  np.testing.assert_allclose(
    neighbours.gradient(values, positions),
    neighbours.gradient(values, positions @ turn),
    atol=1e-5,
  )


def test_a_neighbour_mean_stays_in_its_section(cohort):
  cohort.spots[["x_um", "y_um"]] = np.tile(np.random.default_rng(0).random((60, 2)) * 900, (6, 1))
  section = cohort.spots["section_id"].str[1:].astype(float).to_numpy()[:, None]
  np.testing.assert_array_equal(neighbours.neighbour_mean(cohort, section), section)


def test_a_neighbour_mean_is_of_a_spot_and_its_six_nearest(cohort):
  features = cohort.features["noise"]
  got = neighbours.neighbour_mean(cohort, features)
  positions = cohort.spots[["x_um", "y_um"]].to_numpy()[:60]
  for spot, near in enumerate(nearest_spots(positions, 6)):
    want = features[[spot, *near]].mean(0)
    np.testing.assert_allclose(got[spot], want, atol=1e-6)


def test_coordinates_are_of_the_own_section(cohort):
  got = neighbours.coordinates(cohort)
  for _, rows in cohort.sections():
    np.testing.assert_allclose(got[rows].mean(0), 0, atol=1e-3)
    assert np.ptp(got[rows, 0]) == pytest.approx(np.ptp(cohort.spots["x_um"][rows]), rel=1e-5)


def test_a_section_of_one_spot_has_features(cohort):
  one = cohort.subset(np.arange(360) == 0)
  assert np.isfinite(_banksy(cohort, one, 3)).all()


def test_every_published_number_is_marked_and_cited():
  rows = list(published_rows())
  assert len({row.method for row in rows}) == len(rows) >= 10
  for row in rows:
    assert row.protocol.startswith("published, not rerun")
    assert "not rerun; " in row.note
    assert 0 < row.value < 1
    assert row.dataset.startswith("DLPFC")


def test_averaging_over_neighbours_helps_in_real_cortex(real_data):
  (section,) = readers.read_sections(real_data / "visium_dlpfc_151510")
  cohort = labelled(_cohort_of(section), "layer")
  pca = counts.expression_pca(cohort, cohort)
  features = {
    "plain": pca,
    "mean": neighbours.neighbour_mean(cohort, pca),
    "place": neighbours.coordinates(cohort),
  }
  layers = cohort.spots["layer"].to_numpy(str)
  ari = {
    name: adjusted_rand_score(layers, KMeans(7, n_init=2, random_state=0).fit_predict(values))
    for name, values in features.items()
  }
  assert ari["plain"] == pytest.approx(0.21, abs=0.02)
  assert ari["mean"] > 1.5 * ari["plain"]
  assert ari["place"] < ari["plain"]


def _cohort_of(section) -> Cohort:
  import pandas as pd

  spots = pd.DataFrame(
    {
      "section_id": section.section_id, "donor_id": section.donor_id, "split": "test",
      "x_um": section.positions_um[:, 0], "y_um": section.positions_um[:, 1],
      "has_patch": False, "has_counts": True, "layer": section.labels["layer"],
    }
  )  # fmt: skip
  measured = {section.section_id: np.ones(section.counts.shape[1], bool)}
  return Cohort("cortex", spots, section.counts, measured, {})
