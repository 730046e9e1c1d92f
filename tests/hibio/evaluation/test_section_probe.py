from __future__ import annotations

import numpy as np
import pytest

from hibio.evaluation import section_probe as probes
from hibio.evaluation.section_probe import section_probe


@pytest.fixture
def tissue():
  """Three sections of 60, 80 and 100 spots, and embeddings that know nothing of them."""
  rng = np.random.default_rng(0)
  section = np.repeat([3, 5, 9], [60, 80, 100])
  positions = rng.uniform(0, 1000, (240, 2))
  return rng.normal(size=(240, 8)), section, positions


def test_a_shift_of_each_section_is_found(tissue):
  embedding, section, positions = tissue
  embedding = embedding + 4 * np.eye(8)[np.unique(section, return_inverse=True)[1]]
  told = section_probe(embedding, section, positions)
  assert told.accuracy > 0.95
  assert told.chance == pytest.approx(100 / 240)


def test_embeddings_that_know_nothing_of_sections_stay_near_chance(tissue):
  told = section_probe(*tissue)
  assert abs(told.accuracy - told.chance) < 0.15


def test_what_neighbours_share_is_not_taken_for_the_section(tissue):
  # Each place has a vector of its own: spots drawn at random would find their neighbours' section.
  _, section, positions = tissue
  place = (positions[:, 0] // 50).astype(int) + 20 * np.unique(section, return_inverse=True)[1]
  embedding = np.random.default_rng(1).normal(size=(60, 40))[place]
  told = section_probe(embedding, section, positions)
  assert told.accuracy < told.chance + 0.15


def test_one_section_or_embeddings_that_are_all_the_same_tell_nothing(tissue):
  embedding, section, positions = tissue
  assert section_probe(embedding, np.zeros(240, int), positions) is None
  told = section_probe(np.ones((240, 8)), section, positions)
  assert told.accuracy == pytest.approx(told.chance)


def test_many_spots_are_thinned_out_over_all_sections(tissue, monkeypatch):
  monkeypatch.setattr(probes, "MOST_SPOTS", 24)
  told = section_probe(*tissue)
  assert told.chance == pytest.approx(10 / 24, abs=0.05)
