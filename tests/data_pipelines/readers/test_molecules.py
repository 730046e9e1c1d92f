"""Whole numbers that count no molecules are refused, and those that do are not."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from data_pipelines.problems import BadInputError
from data_pipelines.readers import molecules
from data_pipelines.readers.raw_counts import RawCounts


def tissue(depth=2000, spots=100, genes=600):
  """Counts of genes of unequal strength in spots of unequal depth."""
  rng = np.random.default_rng(0)
  strength = rng.lognormal(0, 1.5, genes)
  depths = depth * rng.lognormal(0, 0.5, (spots, 1))
  return rng.poisson(depths * strength / strength.sum())


def why_not(counts):
  return molecules.why_not(scipy.sparse.csr_matrix(counts.astype(np.int32)))


@pytest.mark.parametrize("depth", [200, 2000, 50_000])
def test_counts_of_shallow_and_deep_spots_are_counts(depth):
  assert why_not(tissue(depth)) is None


def test_spots_of_one_depth_by_chance_are_counts():
  assert why_not(np.random.default_rng(0).poisson(3, (200, 400))) is None


@pytest.mark.parametrize("depth", [200, 2000, 50_000])
@pytest.mark.parametrize("target", [10_000, 1_000_000])
def test_scaled_and_rounded_counts_are_not(depth, target):
  counts = tissue(depth)
  assert "scaled" in why_not(np.round(counts / counts.sum(axis=1, keepdims=True) * target))


@pytest.mark.parametrize("genes", [300, 1000])
def test_counts_of_a_panel_that_were_scaled_to_their_median_depth_are_not(genes):
  counts = tissue(depth=300, spots=200, genes=genes)
  assert why_not(counts) is None
  depths = counts.sum(axis=1, keepdims=True)
  assert "scaled" in why_not(np.round(counts / depths * np.median(depths)))


def test_zeros_and_ones_are_counts_only_where_molecules_are_few():
  assert "zeros and ones" in why_not(tissue() > 0)
  assert why_not(np.eye(100)) is None
  assert why_not(np.ones((90, 12))) is None


def test_a_matrix_that_is_scaled_is_refused_with_what_it_holds():
  counts = scipy.sparse.csr_matrix((tissue() > 0).astype(np.float32))
  spots, genes = (np.arange(number).astype(str) for number in counts.shape)
  raw = RawCounts(Path("f"), counts, spots, genes, genes, np.full(len(genes), ""))
  with pytest.raises(BadInputError, match=r"found zeros and ones only \(which genes are there"):
    raw.cleaned()
