"""Regions as items: means of their own spots, found again where both modalities agree."""

import numpy as np
import pytest

from hibio.evaluation import retrieval


def _rows(cohort, image, gene, regions):
  found = retrieval.of_regions(cohort, image, gene, regions, "m", "all", "places")
  return {row.metric: row for row in found if "image_to_gene, gallery: own section" in row.protocol}


@pytest.fixture
def regions(cohort):
  """Ten spots each, numbered backwards, so that ids are not in the order of spots."""
  return 1000 - np.arange(len(cohort.spots)) // 10


def test_means_find_each_other_where_noisy_spots_cannot(cohort, regions):
  rng = np.random.default_rng(0)
  of_region = rng.normal(size=(1001, 24))[regions]
  image, gene = (
    (of_region + 2.5 * rng.normal(size=of_region.shape)).astype(np.float32) for _ in range(2)
  )
  alone = _rows(cohort, image, gene, np.arange(len(regions)))["recall@1"]
  together = _rows(cohort, image, gene, regions)["recall@1"]
  per_section = len(regions) // 10 / cohort.spots["section_id"].nunique()
  assert together.n == len(regions) // 10
  assert together.chance == pytest.approx(1 / per_section)
  assert together.value > 0.8
  assert alone.value < 0.3
  assert "regions of 10 spots, drawn from places" in together.protocol


def test_regions_of_the_wrong_spots_are_not_found(cohort, regions):
  rng = np.random.default_rng(1)
  of_region = rng.normal(size=(1001, 24))[regions].astype(np.float32)
  dealt = rng.permutation(regions)
  found = _rows(cohort, of_region, rng.permuted(of_region, axis=0), dealt)["recall@1"]
  assert found.value < 0.6


def test_spots_that_lack_a_modality_are_in_no_region(cohort, regions):
  rng = np.random.default_rng(2)
  vectors = rng.normal(size=(1001, 24))[regions].astype(np.float32)
  lacking = cohort.subset(np.ones(len(regions), bool))
  lacking.spots.loc[lacking.spots.index[::2], "has_patch"] = False
  spoilt = vectors.copy()
  spoilt[::2] = rng.normal(size=spoilt[::2].shape)
  assert _rows(lacking, spoilt, vectors, regions)["recall@1"].value == 1.0
  nobody = lacking.subset(~lacking.spots["has_patch"].to_numpy())
  assert not _rows(nobody, spoilt[::2], vectors[::2], regions[::2])
