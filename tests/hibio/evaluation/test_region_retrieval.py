"""Regions as items: means of their own spots, found again where both modalities agree."""

import dataclasses

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


def test_the_gallery_of_a_donor_holds_its_sections_that_were_trained_on(cohort, regions):
  rng = np.random.default_rng(3)
  vectors = rng.normal(size=(1001, 24))[regions].astype(np.float32)
  # Sections as donors of their own: s5 is held out, s4 is of the same donor.
  by_section = dataclasses.replace(
    cohort, spots=cohort.spots.assign(donor_id=cohort.spots["section_id"])
  )
  kin = (cohort.spots["patient"] == "d2").to_numpy()
  options = dict(method="m", split="s5", drawn_from="places", asked=("s5",))
  told = {
    row.protocol.split("gallery: ")[1]: row
    for row in retrieval.of_regions(
      by_section.subset(kin), vectors[kin], vectors[kin], regions[kin], **options
    )
    if row.metric == "recall@1" and "image_to_gene" in row.protocol
  }
  assert {gallery: (row.n, row.chance) for gallery, row in told.items()} == {
    "own section, 6 regions": (6, pytest.approx(1 / 6)),
    "own donor, 12 regions": (6, pytest.approx(1 / 12)),
    "all, 12 regions": (6, pytest.approx(1 / 12)),
  }
  assert all(list(row.parts) == ["s5"] and row.value == 1.0 for row in told.values())
