"""C11: exact ranks of right answers among 100,000 candidates, against a flat index of faiss.

python -m experiments.benchmarks.ranks
"""

from __future__ import annotations

import numpy as np

from experiments.benchmarks import side_by_side
from experiments.benchmarks.side_by_side import Case, Pair
from hibio.evaluation import galleries, ranking

WIDTH, QUERIES, K, SECTIONS = 512, 512, 10, 4


def _both(quick: bool) -> Pair:
  """Whether each query's own item is among the first ten, told by its rank and by a search."""
  import faiss

  num_items = 2_000 if quick else 100_000
  rng = np.random.default_rng(0)
  items = _units(rng.normal(size=(num_items, WIDTH)))
  queries = _units(items[:QUERIES] + 0.3 * rng.normal(size=(QUERIES, WIDTH)))
  spots = _spots(num_items)
  own, every = galleries.own(spots), np.ones((QUERIES, SECTIONS), bool)
  index = faiss.IndexFlatIP(WIDTH)
  index.add(items)

  def ours() -> np.ndarray:
    found, _ = ranking.stand(queries, items, spots.starts, {"own": own}, asked=spots.asked)
    return found["own"].rank(every) <= K

  def theirs() -> np.ndarray:
    return (index.search(queries, K)[1] == np.arange(QUERIES)[:, None]).any(axis=1)

  return ours, theirs


def _spots(number: int) -> galleries.PairedSpots:
  """Spots of equal sections, of which the first are queries."""
  each = number // SECTIONS
  return galleries.PairedSpots(
    rows=np.arange(number),
    section=np.repeat(np.arange(SECTIONS), each),
    starts=np.arange(SECTIONS) * each,
    sections=tuple(map(str, range(SECTIONS))),
    donors=np.arange(SECTIONS),
    positions_um=np.zeros((number, 2)),
    asked=np.arange(QUERIES),
  )


def _units(values: np.ndarray) -> np.ndarray:
  return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def _same_hits(ours: np.ndarray, theirs: np.ndarray) -> None:
  """All but ties: the two sum products in another order."""
  assert (ours != theirs).mean() < 0.005, f"{(ours != theirs).sum()} queries differ"
  assert 0.1 < theirs.mean() < 0.9, f"too easy or too hard: {theirs.mean():.0%} are found"


CASES = (
  Case(
    "C11 exact ranks, 512 of 100,000 items", "faiss IndexFlatIP", goal=0.85, of=_both,
    same=_same_hits, needs=("faiss",),
  ),
)  # fmt: skip

if __name__ == "__main__":
  side_by_side.run(__doc__, CASES)
