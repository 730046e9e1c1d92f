import dataclasses

import numpy as np
import pytest

from hibio.evaluation import galleries, retrieval
from hibio.evaluation.galleries import paired_spots

RECALLS = {f"{kind}@{k}" for kind in ("recall", "near_recall") for k in (1, 5, 10, 50)}
IN_GALLERY = RECALLS | {
  "recall@1%",
  "recall@5%",
  "recall@10%",
  "mrr",
  "median_rank",
  "median_rank_share",
}
IDENTITY = {"section_identity", "donor_identity"}
LABEL = {f"label_recall@{k}" for k in (1, 5, 10, 50)}


def _gallery(row):
  return row.protocol.split("gallery: ")[1].split(",")[0]


def _rows(cohort, image, gene, **options):
  found = retrieval.of_spots(cohort, image, gene, "m", "all", **options)
  return {(row.protocol.split(",")[0], _gallery(row), row.metric): row for row in found}


def _noise(seed, spots=360, width=16):
  return np.random.default_rng(seed).normal(size=(spots, width)).astype(np.float32)


@pytest.fixture
def lattice(cohort):
  """The cohort with every section on a lattice of 100 um."""
  place = np.arange(360) % 60
  spots = cohort.spots.assign(x_um=place % 10 * 100.0, y_um=place // 10 * 100.0)
  return dataclasses.replace(cohort, spots=spots)


def test_every_metric_is_told_for_every_gallery_in_both_directions(lattice):
  rows = _rows(lattice, _noise(0), _noise(1), labels=("leaf",))
  for direction in ("image_to_gene", "gene_to_image"):
    told = {}
    for way, gallery, metric in rows:
      told.setdefault(gallery, set()).add(metric) if way == direction else None
    assert told == {
      "own section": IN_GALLERY,
      "own donor": IN_GALLERY,
      "all": IN_GALLERY | IDENTITY,
      "other sections with leaf": LABEL,
    }


def test_the_size_of_the_gallery_is_in_the_row(cohort):
  some = cohort.subset(np.arange(360) != 7)
  rows = _rows(some, _noise(0, 359), _noise(1, 359), labels=("leaf",))
  size = {gallery: row.protocol.split(", ")[-1] for (_, gallery, _), row in rows.items()}
  assert size == {
    "own section": "59 to 60 spots",
    "own donor": "119 to 120 spots",
    "all": "359 spots",
    "other sections with leaf": "299 to 300 spots",
  }


def test_identical_embeddings_score_one_in_every_metric(lattice):
  leaf = np.repeat(np.eye(4, dtype=np.float32)[lattice.spots["leaf"].str[4:].astype(int)], 4, 1)
  vectors = leaf + 0.1 * _noise(0)
  size = {"own section": 60, "own donor": 120, "all": 360}
  for row in _rows(lattice, vectors, vectors, labels=("leaf",)).values():
    best = 1 / size[_gallery(row)] if row.metric == "median_rank_share" else 1.0
    assert row.value == pytest.approx(best), row


def test_unrelated_embeddings_score_chance_in_every_metric(lattice):
  for seed in range(3):
    rows = _rows(lattice, _noise(seed), _noise(seed + 10), labels=("leaf",))
    for row in rows.values():
      if row.metric == "median_rank":
        assert row.value == pytest.approx(row.chance, rel=0.25), row
      elif row.metric == "median_rank_share":
        assert row.value == pytest.approx(row.chance, abs=0.1), row
      elif row.metric in IDENTITY | LABEL:
        # Queries of one leaf or section share what is right and what is near: no 360 coins.
        assert row.value == pytest.approx(row.chance, abs=0.12), row
      else:
        error = np.sqrt(max(row.chance * (1 - row.chance), 0.002) / row.n)
        assert abs(row.value - row.chance) < 4.5 * error, row


def test_constant_embeddings_gain_nothing(lattice):
  ones = np.ones((360, 4), np.float32)
  rows = _rows(lattice, ones, ones)
  assert rows["image_to_gene", "own section", "recall@10"].value == 0.0
  assert rows["image_to_gene", "all", "section_identity"].value == pytest.approx(1 / 6)
  assert rows["image_to_gene", "all", "donor_identity"].value == pytest.approx(1 / 3)


def test_knowing_only_the_section_helps_only_the_larger_galleries(lattice):
  section = lattice.spots["section_id"].str[1:].astype(int).to_numpy()
  image, gene = (
    (np.eye(6)[section] + 0.01 * _noise(seed, width=6)).astype(np.float32) for seed in (3, 4)
  )
  rows = _rows(lattice, image, gene)
  own, donor, everywhere = (
    rows["image_to_gene", name, "recall@10"] for name in ("own section", "own donor", "all")
  )
  assert own.value < 1.6 * own.chance
  assert donor.value > 1.5 * donor.chance
  assert everywhere.value > 3 * everywhere.chance
  assert rows["image_to_gene", "all", "section_identity"].value > 0.95
  assert rows["image_to_gene", "all", "donor_identity"].value > 0.95


def test_a_neighbour_is_near_enough_and_a_spot_of_another_section_never(lattice):
  # Each patch looks like the profile of the spot to its right; sections overlap in space.
  gene = _noise(5)
  image = gene[np.where(np.arange(360) % 10 < 9, np.arange(360) + 1, np.arange(360))]
  rows = _rows(lattice, image, gene)
  assert rows["image_to_gene", "all", "near_recall@1"].value == 1.0
  assert rows["image_to_gene", "all", "recall@1"].value == pytest.approx(0.1)
  image = np.roll(gene, 60, axis=0)  # the spot at the same place of the next section
  assert _rows(lattice, image, gene)["image_to_gene", "all", "near_recall@1"].value < 0.1


def test_a_neighbour_is_within_one_and_a_half_spacings(lattice):
  spots = paired_spots(lattice)
  np.testing.assert_allclose(galleries.reach_um(spots), 150.0)
  hits = galleries.near(spots, galleries.reach_um(spots)).hits(np.arange(360))
  assert hits[0].sum() == 4  # a corner: itself, two sides and the diagonal
  assert hits[11].sum() == 9
  legacy = dataclasses.replace(lattice, spots=lattice.spots.assign(
    x_um=lattice.spots["x_um"] * 2, y_um=lattice.spots["y_um"] * 2
  ))  # fmt: skip
  np.testing.assert_allclose(galleries.reach_um(paired_spots(legacy)), 300.0)


def test_the_label_is_looked_for_in_other_sections_only(lattice):
  # The best item has the right label but lies in the own section; the others' have the wrong one.
  labels = np.where(np.arange(360) % 2 == 0, "even", "odd")
  some = dataclasses.replace(lattice, spots=lattice.spots.assign(parity=labels))
  section = some.spots["section_id"].str[1:].astype(int).to_numpy()
  own = np.eye(6)[section] * np.where(labels == "even", 1.0, -1.0)[:, None]
  lure = np.where(labels == "even", 1.0, -1.0)[:, None]
  image = np.concatenate([2 * own, -lure], axis=1).astype(np.float32)
  gene = np.concatenate([2 * own, lure], axis=1).astype(np.float32)
  rows = _rows(some, image, gene, labels=("parity",))
  row = rows["image_to_gene", "other sections with parity", "label_recall@1"]
  assert row.value == 0.0
  assert row.chance == pytest.approx(0.5)
  helpful = np.concatenate([2 * own, lure], axis=1).astype(np.float32)
  rows = _rows(some, helpful, gene, labels=("parity",))
  assert rows["image_to_gene", "other sections with parity", "label_recall@1"].value == 1.0


def test_queries_whose_label_no_other_section_has_are_left_out_and_counted(lattice):
  labels = lattice.spots["leaf"].to_numpy(str)
  labels[:5], labels[60:90] = "only in s0", ""
  some = dataclasses.replace(lattice, spots=lattice.spots.assign(leaf=labels))
  rows = _rows(some, _noise(0), _noise(1), labels=("leaf",))
  row = rows["image_to_gene", "other sections with leaf", "label_recall@5"]
  assert row.n == 360 - 30 - 5
  assert "5 queries left out" in row.note
  assert "270 to 300 spots" in row.protocol
  assert set(row.parts) == {"leaf0", "leaf1", "leaf2", "leaf3"}


def test_a_label_of_one_section_gives_a_reason_and_no_number(lattice):
  one = lattice.subset((lattice.spots["section_id"] == "s0").to_numpy())
  rows = _rows(one, _noise(0, 60), _noise(1, 60), labels=("leaf",))
  row = rows["image_to_gene", "other sections with leaf", "label_recall@1"]
  assert row.value is None
  assert "no two sections" in row.note


def test_spots_with_one_modality_are_neither_asked_nor_found(lattice):
  image = _noise(0)
  lacking = lattice.spots.assign(has_patch=np.arange(360) >= 60, has_counts=np.arange(360) % 2 == 0)
  some = dataclasses.replace(lattice, spots=lacking)
  rows = _rows(some, image, image)
  row = rows["image_to_gene", "all", "recall@1"]
  assert row.n == 150
  assert set(row.parts) == {"s1", "s2", "s3", "s4", "s5"}
  nothing = dataclasses.replace(lattice, spots=lattice.spots.assign(has_patch=False))
  (row,) = retrieval.of_spots(nothing, image, image, "m", "all")
  assert row.value is None
  assert "both" in row.note


def test_sections_may_lie_scattered_over_the_table(lattice):
  image, gene = _noise(0), _noise(0) + _noise(1)
  order = np.random.default_rng(0).permutation(360)
  spots = lattice.spots.iloc[order].reset_index(drop=True)
  shuffled = dataclasses.replace(lattice, spots=spots)
  want = _rows(lattice, image, gene, labels=("leaf",))
  got = _rows(shuffled, image[order], gene[order], labels=("leaf",))
  for key, row in want.items():
    assert got[key].value == pytest.approx(row.value), key
    assert got[key].chance == pytest.approx(row.chance), key
