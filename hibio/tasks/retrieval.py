"""Image <-> expression retrieval: does a patch find its own profile, and a profile its patch?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from hibio.tasks.cohort import Cohort
from hibio.tasks.rows import Row

RECALLS = (1, 5, 10, 50)
_BLOCK = 1024


def ranks(
  queries: Float[np.ndarray, "query width"],
  gallery: Float[np.ndarray, "item width"],
  truth: np.ndarray,
) -> Float[np.ndarray, " query"]:
  """Rank (1 = first) of each query's true item by dot product; a tie counts as its mean rank.

  Args:
    truth: row of `gallery` that belongs to each query.
  """
  found = np.empty(len(queries))
  for start in range(0, len(queries), _BLOCK):
    rows = slice(start, start + _BLOCK)
    similarity = queries[rows] @ gallery.T
    own = similarity[np.arange(len(similarity)), truth[rows]][:, None]
    found[rows] = 1 + (similarity > own).sum(1) + ((similarity == own).sum(1) - 1) / 2
  return found


def recall_at(rank: Float[np.ndarray, " query"], k: int) -> float:
  """Share of queries whose true item is among the first `k`."""
  return float((rank <= k).mean())


def evaluate(
  cohort: Cohort,
  image: Float[np.ndarray, "spot width"],
  gene: Float[np.ndarray, "spot width"],
  method: str,
  split: str,
) -> Iterator[Row]:
  """Both directions, with the spot's own section and with all sections as the gallery.

  Section galleries are averaged over queries; `chance` is k over the gallery's size, averaged the
  same way. `section_identity` is the share of first hits that at least come from the right section:
  a model that knows only the section already gains by it in the "all" gallery.
  """
  image, gene = unit(image), unit(gene)
  directions = {"image_to_gene": (image, gene), "gene_to_image": (gene, image)}
  ids = cohort.spots["section_id"].to_numpy()
  n = len(ids)
  for name, (queries, gallery) in directions.items():
    rank, size = np.empty(n), np.empty(n)
    for _, rows in cohort.sections():
      rank[rows] = ranks(queries[rows], gallery[rows], np.arange(len(rows)))
      size[rows] = len(rows)
    common = ("retrieval", cohort.dataset, f"{name}, gallery: own section", split)
    for k in RECALLS:
      yield Row(
        *common,
        f"recall@{k}",
        method,
        recall_at(rank, k),
        n,
        float(np.minimum(k / size, 1).mean()),
        f"median gallery {int(np.median(size))}",
      )
    yield Row(*common, "median_rank_share", method, float(np.median(rank / size)), n, 0.5)
    rank = ranks(queries, gallery, np.arange(n))
    common = ("retrieval", cohort.dataset, f"{name}, gallery: all {n} spots", split)
    for k in RECALLS:
      yield Row(*common, f"recall@{k}", method, recall_at(rank, k), n, min(k / n, 1.0))
    first = np.concatenate(
      [(queries[start : start + _BLOCK] @ gallery.T).argmax(1) for start in range(0, n, _BLOCK)]
    )
    share = np.array([(ids == section).mean() for section in ids])
    yield Row(
      *common, "section_identity", method, float((ids[first] == ids).mean()), n, float(share.mean())
    )


def unit(vectors: Float[np.ndarray, "spot width"]) -> Float[np.ndarray, "spot width"]:
  """Rows scaled to length 1; a zero row stays zero."""
  return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
