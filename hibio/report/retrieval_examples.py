"""A few patches and what they find: drawn at random, so failures show as often as they happen."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from data_pipelines.loading.corpus import Corpus
from hibio import configs
from hibio.batch import Tables
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.retrieval import unit
from hibio.keywords import keyword_scores
from hibio.report.exhibits import Hit, Retrieval
from hibio.report.shown_sections import spot_patches

NUM_EXAMPLES = 6
NUM_HITS = 5
NUM_KEYWORDS = 6
SEED = 0

EXPLAINED = (
  f"{NUM_EXAMPLES} patches drawn at random (seed {SEED}) from all held-out spots, successes and "
  "failures as they come. Each looks for its own expression profile among those of all held-out "
  f"spots; shown are the first {NUM_HITS}, each by the patch of its spot, with the cosine and the "
  "keyword genes of its profile. Green: its own profile, and keyword genes that it shares with the "
  "query's profile, which the search never sees."
)


def retrieval_examples(
  held_out: Cohort, corpus: Corpus, tables: Tables, config: configs.KeywordConfig
) -> tuple[Retrieval, ...]:
  """The examples; none where nothing is held out."""
  n = len(held_out.spots)
  if not n:
    return ()
  queries = np.random.default_rng(SEED).choice(n, min(NUM_EXAMPLES, n), replace=False)
  gallery = unit(held_out.features["hibio/gene"])
  cosines = unit(held_out.features["hibio/image"][queries]) @ gallery.T
  hits = np.argsort(-cosines, axis=1, kind="stable")[:, :NUM_HITS]
  used = np.unique(np.concatenate([queries, hits.ravel()]))
  patches = spot_patches(corpus, held_out.spots["spot_index"].to_numpy()[used])
  patch = dict(zip(used.tolist(), patches, strict=True))
  names = keyword_names(held_out, used, corpus, tables, config)
  keywords = dict(zip(used.tolist(), names, strict=True))
  section = held_out.spots["section_id"].astype(str).tolist()
  positions_um = held_out.spots[["x_um", "y_um"]].to_numpy(float)
  found = []
  for query, found_rows, cosine in zip(queries.tolist(), hits.tolist(), cosines, strict=True):
    away_um = np.linalg.norm(positions_um - positions_um[query], axis=1)
    found.append(
      Retrieval(
        patch=patch[query],
        section_id=section[query],
        rank=int((cosine > cosine[query]).sum()) + 1,
        gallery=n,
        keywords=keywords[query],
        hits=tuple(
          Hit(
            patch=patch[row],
            section_id=section[row],
            cosine=float(cosine[row]),
            distance_um=float(away_um[row]) if section[row] == section[query] else None,
            keywords=keywords[row],
            is_query=row == query,
          )
          for row in found_rows
        ),
      )
    )
  return tuple(found)


def keyword_names(
  cohort: Cohort,
  rows: Int[np.ndarray, " chosen"],
  corpus: Corpus,
  tables: Tables,
  config: configs.KeywordConfig,
) -> list[tuple[str, ...]]:
  """The strongest keyword genes of some spots of a cohort, by name."""
  section_row = {s["section_id"]: row for row, s in enumerate(corpus.manifest["sections"])}
  index = [section_row[name] for name in cohort.spots["section_id"].to_numpy(str)[rows]]
  counts = cohort.counts[rows].toarray().astype(np.int32)
  scores = np.asarray(
    keyword_scores(
      jnp.asarray(counts)[:, None], tables.statistics, jnp.array(index, jnp.int32), config
    )
  )[:, 0]
  top = np.argsort(-scores, axis=1, kind="stable")[:, :NUM_KEYWORDS]
  symbols = corpus.panel.symbols
  return [
    tuple(symbols[gene] for gene in genes if scores[spot, gene] > 0)
    for spot, genes in enumerate(top)
  ]
