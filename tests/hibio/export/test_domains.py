"""Domains that sections share: planted kinds of tissue, found together and counted."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from data_pipelines.problems import BadInputError
from hibio import plotting
from hibio.export import domains

KINDS = 4


@pytest.fixture(scope="module")
def planted():
  """Two sections, of which the second lacks one kind of tissue."""
  rng = np.random.default_rng(0)
  centres = 3 * rng.normal(size=(KINDS, 8))
  kinds = [rng.integers(0, KINDS, 60).repeat(10), rng.integers(0, KINDS - 1, 40).repeat(10)]
  values = [(centres[own] + rng.normal(size=(len(own), 8))).astype(np.float32) for own in kinds]
  return values, np.arange(100).repeat(10), np.concatenate(kinds)


def test_the_most_stable_number_is_the_one_that_was_planted(planted):
  values, pieces, kinds = planted
  found, stability = domains.shared(values, pieces)
  assert stability.index[stability["chosen"]].tolist() == [KINDS]
  assert adjusted_rand_score(kinds, found) > 0.95
  assert (np.diff(np.bincount(found)) <= 0).all()
  figure = plotting.stability(stability)
  assert figure.axes[0].get_xlabel() == "domains"


def test_a_kind_that_a_section_lacks_is_not_found_there(planted):
  values, pieces, kinds = planted
  found, _ = domains.shared(values, pieces, KINDS)
  missing = np.bincount(found[:600][kinds[:600] == KINDS - 1]).argmax()
  assert (found[600:] == missing).mean() < 0.01


def test_noise_has_no_stable_domains(planted):
  _, pieces, _ = planted
  noise = np.random.default_rng(1).normal(size=(1000, 8)).astype(np.float32)
  assert domains.stabilities(noise, pieces)["stability"].max() < 0.5


def test_more_domains_than_spots_are_refused():
  with pytest.raises(BadInputError, match="num_domains"):
    domains.shared([np.zeros((5, 2), np.float32)], np.arange(5), 6)


def test_a_spot_is_averaged_with_those_that_it_touches():
  positions = np.array([[0.0, 0], [100, 0], [200, 0], [900, 0]])
  values = np.array([[1.0], [2], [6], [5]], np.float32)
  np.testing.assert_allclose(domains.around(values, positions).ravel(), [1.5, 3, 4, 5])
