import numpy as np

from hibio.tasks import retrieval


def _rows(cohort, image, gene):
  return {
    (r.protocol.split(",")[0], r.protocol.split(":")[1].strip()[:3], r.metric): r
    for r in retrieval.evaluate(cohort, image, gene, "m", "all")
  }


def test_rank_counts_better_items_and_half_of_the_ties():
  gallery = np.array([[1.0], [2.0], [2.0], [0.5]], np.float32)
  query = np.ones((1, 1), np.float32)
  rank = [float(retrieval.ranks(query, gallery, np.array([i]))[0]) for i in range(4)]
  assert rank == [3.0, 1.5, 1.5, 4.0]


def test_identical_embeddings_are_found_first(cohort):
  vectors = np.random.default_rng(1).normal(size=(len(cohort.spots), 16)).astype(np.float32)
  rows = _rows(cohort, vectors, vectors)
  assert rows["image_to_gene", "own", "recall@1"].value == 1.0
  assert rows["gene_to_image", "all", "recall@1"].value == 1.0
  assert rows["gene_to_image", "all", "section_identity"].value == 1.0


def test_unrelated_embeddings_score_chance(cohort):
  rng = np.random.default_rng(2)
  image, gene = rng.normal(size=(2, len(cohort.spots), 16)).astype(np.float32)
  row = _rows(cohort, image, gene)["image_to_gene", "own", "recall@10"]
  assert row.chance == 10 / 60
  assert abs(row.value - row.chance) < 3 * np.sqrt(row.chance / row.n)


def test_constant_embeddings_gain_nothing(cohort):
  ones = np.ones((len(cohort.spots), 4), np.float32)
  assert _rows(cohort, ones, ones)["image_to_gene", "own", "recall@10"].value == 0.0


def test_knowing_only_the_section_helps_only_the_large_gallery(cohort):
  rng = np.random.default_rng(3)
  ids = cohort.spots["section_id"].str[1:].astype(int).to_numpy()
  image, gene = (np.eye(6)[ids] + 0.01 * rng.normal(size=(2, len(ids), 6))).astype(np.float32)
  rows = _rows(cohort, image, gene)
  assert rows["image_to_gene", "all", "section_identity"].value > 0.95
  assert (
    rows["image_to_gene", "all", "recall@10"].value
    > 3 * rows["image_to_gene", "all", "recall@10"].chance
  )
  assert rows["image_to_gene", "own", "recall@10"].value < 1.6 * 10 / 60
