"""Domains are read from what hangs together best over the tissue, without a label."""

import dataclasses

import numpy as np
import pytest

from data_pipelines.preparation.spot_graph import spot_graph
from hibio.evaluation import readings

SIDE = 16
PLACES = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), -1).reshape(-1, 2) * 100.0
QUARTER = (PLACES[:, 0] > 750).astype(int) * 2 + (PLACES[:, 1] > 750)


def _seen(labels, noise, seed=0):
  rng = np.random.default_rng(seed)
  return (np.eye(8)[labels] + noise * rng.normal(size=(len(labels), 8))).astype(np.float32)


@pytest.mark.parametrize("best", ["embedding", "anchors"])
def test_the_reading_whose_clusters_touch_is_chosen(best):
  clear, dull = _seen(QUARTER, 0.1), _seen(QUARTER, 3.0, seed=1)
  pair = (clear, dull) if best == "embedding" else (dull, clear)
  chosen, values = readings.of_section(*pair, PLACES)
  assert chosen == best
  assert values.shape == clear.shape


def test_two_readings_that_each_see_half_of_it_are_read_together():
  half = np.zeros((2, len(QUARTER), 4), np.float32)
  half[0, :, 0], half[1, :, 0] = QUARTER // 2, QUARTER % 2
  half += 0.25 * np.random.default_rng(1).normal(size=half.shape)
  assert readings.of_section(*half, PLACES)[0] == "both"


def test_one_large_cluster_gains_nothing():
  graph = spot_graph(PLACES)[0]
  alone = np.zeros((len(QUARTER), 2), np.float32)
  alone[7] = 100.0  # one spot apart, the rest is one cluster
  assert readings.coherence(alone, graph) < 0.01
  assert readings.coherence(_seen(QUARTER, 0.01), graph) > 0.3


def test_few_columns_keep_distances_and_angles():
  rng = np.random.default_rng(2)
  similarity = (rng.normal(size=(40, 6)) @ rng.normal(size=(6, 90))).astype(np.float32)
  few = readings.in_few_columns(similarity, 6)
  assert few.shape == (40, 6)
  np.testing.assert_allclose(few @ few.T, similarity @ similarity.T, rtol=1e-4, atol=1e-3)
  assert readings.in_few_columns(few, 6) is few


def test_without_anchors_and_in_tiny_sections_the_embedding_is_read():
  seen = _seen(QUARTER, 0.1)
  nothing = np.zeros((len(seen), 0), np.float32)
  assert readings.of_section(seen, nothing, PLACES)[0] == "embedding"
  assert readings.of_section(seen[:8], seen[:8], PLACES[:8])[0] == "embedding"


def test_each_section_chooses_for_itself(cohort):
  places = np.concatenate([PLACES[:60]] * 6)
  spots = cohort.spots.assign(x_um=places[:, 0], y_um=places[:, 1])
  stripe = (places[:, 0] // 200).astype(int)
  clear, dull = _seen(stripe, 0.05), _seen(stripe, 4.0, seed=1)
  first = (np.arange(360) < 180)[:, None]
  features = {
    "m/gene": np.where(first, clear, dull),
    "m/gene@anchors": np.where(first, dull, clear),
  }
  asked = dataclasses.replace(cohort, spots=spots, features=features)
  found, told = readings.of_cohort(asked, "m/gene", "m/gene@anchors")
  (name,) = found.features
  assert (name, told) == ("m/gene@most coherent", "embedding in 3 of 6, anchors in 3 of 6")
  np.testing.assert_array_equal(found.features[name][:180, :8], clear[:180])
