"""C5: the 256 keyword genes of spots of 18,000 genes, against a loop of NumPy and scikit-learn.

  python -m experiments.benchmarks.keywords

Ours is what the model does in every step: scores of all genes of dense counts, jitted, of which the
first are taken. The others read the counts that are not 0, from memory, a spot at a time.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

from data_pipelines.preparation import statistics
from experiments.benchmarks import side_by_side
from experiments.benchmarks.side_by_side import Case, Pair
from hibio import keywords
from hibio.batch import SectionStatistics
from hibio.configs import KeywordConfig
from hibio.expression import fraction

GENES, SHARE_SEEN, NUMBER, WINDOW = 18_000, 0.13, 256, 64


@functools.cache
def _section(quick: bool) -> tuple[scipy.sparse.csr_matrix, SectionStatistics]:
  """Random spots with 2,400 genes each, as on real tissue, of genes as common as there."""
  rng = np.random.default_rng(0)
  rates = rng.gamma(0.25, 1.0, GENES)
  rates *= SHARE_SEEN * GENES / np.sum(1 - np.exp(-rates))
  counts = scipy.sparse.csr_matrix(rng.poisson(rates, (2 * WINDOW if quick else 1024, GENES)))
  counts = counts.astype(np.int32)
  none = np.zeros((0, GENES), bool)
  table = statistics.section_table(counts, np.ones(GENES, bool), none)
  stacked = statistics.corpus_statistics([table], np.ones(1, bool))
  return counts, SectionStatistics(**stacked, corpus_spatial=np.ones(GENES, np.float32))


def _ours(score: str, quick: bool):
  counts, tables = _section(quick)
  config = KeywordConfig(
    num_keywords=NUMBER, score=score, spatial_power=0.0, min_documents=0, min_document_share=0.0,
    min_count=1,
  )  # fmt: skip
  windows = jnp.asarray(counts.toarray().reshape(-1, 1, WINDOW, GENES))
  tables, section = jax.tree.map(jnp.asarray, tables), jnp.zeros(1, jnp.int32)

  @jax.jit
  def found(window: jax.Array) -> jax.Array:
    scores = keywords.keyword_scores(window, tables, section, config)
    shares = fraction(window, tables.measured[section][:, None])
    return keywords.top_keywords(scores, shares, tables.measured[section], NUMBER)[0].gene

  return lambda: np.concatenate([np.asarray(found(window))[0] for window in windows])


def _against_numpy(quick: bool) -> Pair:
  counts, tables = _section(quick)
  expected = tables.mean_fraction[0] + np.float32(1e-6)

  def theirs() -> np.ndarray:
    out = np.empty((counts.shape[0], NUMBER), np.int32)
    for spot in range(counts.shape[0]):
      row = slice(*counts.indptr[spot : spot + 2])
      gene, share = counts.indices[row], counts.data[row].astype(np.float32)
      share /= share.sum()
      score = share * np.maximum(np.log(share / expected[gene]), 0.0)
      out[spot] = _first(gene, score)
    return out

  return _ours("surprisal", quick), theirs


def _against_sklearn(quick: bool) -> Pair:
  from sklearn.feature_extraction.text import TfidfTransformer

  counts, _ = _section(quick)

  def theirs() -> np.ndarray:
    weights = TfidfTransformer(norm="l1").fit_transform(counts.astype(np.float32))
    ends = zip(weights.indptr[:-1], weights.indptr[1:], strict=True)
    return np.stack([_first(weights.indices[a:b], weights.data[a:b]) for a, b in ends])

  return _ours("tf_idf_smooth", quick), theirs


def _first(gene: np.ndarray, score: np.ndarray) -> np.ndarray:
  """The genes of the highest scores, the highest first; of equal ones the first of the panel."""
  best = np.argpartition(-score, NUMBER)[:NUMBER]
  return gene[best[np.lexsort((gene[best], -score[best]))]]


def _same_lists(ours: np.ndarray, theirs: np.ndarray) -> None:
  """But for what rounding and ties at the end of the list decide."""
  shared = np.mean([len(np.intersect1d(*pair)) for pair in zip(ours, theirs, strict=True)])
  assert shared > 0.99 * NUMBER, f"{shared / NUMBER:.1%} of the keywords are the same"


CASES = (
  Case(
    "C5 keywords, 256 of 18,000 genes", "NumPy, row by row", goal=2.5, of=_against_numpy,
    same=_same_lists,
  ),
  Case(
    "C5 keywords, 256 of 18,000 genes, TF-IDF", "scikit-learn", goal=3.0, of=_against_sklearn,
    same=_same_lists,
  ),
)  # fmt: skip

if __name__ == "__main__":
  side_by_side.run(__doc__, CASES)
