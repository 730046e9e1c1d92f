"""One evaluation -> what a report shows beside the rows: maps, confusions, retrieved patches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, UInt8
from threadpoolctl import threadpool_limits

from data_pipelines.console import say
from data_pipelines.loading import loader
from data_pipelines.loading.corpus import Corpus
from data_pipelines.loading.windows import Windows
from hibio import configs
from hibio.batch import Tables
from hibio.corpora import SPLITS
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.methods import MODEL
from hibio.evaluation.rows import Row
from hibio.evaluation.setting import Setting
from hibio.keywords import keyword_scores
from hibio.masked import unit_rows
from hibio.nn.temperature import inverse_temperature
from hibio.pathways import pathway_anchors
from hibio.report import label_maps, levels
from hibio.report.exhibits import (
  Absent,
  Chart,
  Confusion,
  Exhibits,
  Hit,
  Listing,
  MapRow,
  Retrieval,
)
from hibio.report.shown_sections import ShownSections
from hibio.report.value_maps import expression_maps, pathway_maps
from hibio.training import metrics


def exhibits(
  setting: Setting,
  tasks: Iterable[str] | None = None,
  sections: Sequence[str] = (),
  rows: Sequence[Row] = (),
) -> Exhibits:
  """Everything that can be shown of the donors that are scored.

  Args:
    rows: of the evaluation; pictures show the features that their summary compares.
    tasks: that something is shown of; by default every one.
    sections: that are drawn; by default a few that `ShownSections` picks.
  """
  label = setting.labels[-1] if setting.labels else ""
  shown = ShownSections(setting.corpus, setting.scored, label, sections)
  found: list[Any] = []
  # Everything here is small: more than one thread would wait for each other, not work.
  with threadpool_limits(limits=1):
    for task in (*_COMPARED, *_SHOWN):
      if tasks is not None and task not in tasks:
        continue
      say(f"report: {task}")
      if task in _COMPARED:
        titles = label_maps.compared(rows, task, setting.subject)
        found += _COMPARED[task](setting, shown, titles)
      else:
        found += _SHOWN[task](setting, shown)

  def every(kind: type) -> tuple:
    return tuple(one for one in found if isinstance(one, kind))

  return Exhibits(
    tissues=shown.tissues(),
    map_rows=every(MapRow),
    confusions=every(Confusion),
    retrievals=every(Retrieval),
    retrievals_explained=_RETRIEVALS_EXPLAINED,
    curves=tuple(metrics.read(setting.model.workdir)) if setting.model else (),
    absent=every(Absent),
    charts=every(Chart),
    listings=every(Listing),
  )


def _expression(setting: Setting, shown: ShownSections) -> Iterable[Any]:
  return itertools.chain(*expression_maps(setting, shown))


def _retrieval(setting: Setting, shown: ShownSections) -> Iterator[Any]:
  if setting.model is None:
    return
  both = setting.scored.seen_by(f"{MODEL}/fused")
  if len(both.spots):
    keywords = setting.model.model.config.keywords
    yield from retrieval_examples(both, setting.corpus, setting.tables, keywords)
  else:
    why = "no scored spot has both an image and counts"
    yield Absent("retrieval", "Patches and what they find", why)


def _anchors(setting: Setting, shown: ShownSections) -> Iterator[Any]:
  both = setting.scored.seen_by(f"{MODEL}/fused")
  if len(both.spots):
    params, membership = setting.method(MODEL).params, setting.corpus.membership
    share = setting.tables.statistics.corpus_document_share
    anchors = np.asarray(pathway_anchors(params, membership, share))
    scale = float(inverse_temperature(params["anchor_log_scale"]))
    for kind in pathway_maps(both, shown, setting.corpus, setting.tables, anchors, scale):
      yield from kind
  yield from levels.anchor_exhibits(setting, shown)


_COMPARED = {"domains": label_maps.domain_maps, "annotation": label_maps.annotation_maps}
"""Task -> maps of the features that the summary compares there."""

_SHOWN: dict[str, Callable[[Setting, ShownSections], Iterable[Any]]] = {
  "expression": _expression,
  "retrieval": _retrieval,
  "keywords": levels.keyword_exhibits,
  "anchors": _anchors,
  "regions": levels.region_exhibits,
}
"""Other task -> what is shown of it: maps, charts, tables, or why there is none."""


NUM_EXAMPLES = 6
NUM_HITS = 5
NUM_KEYWORDS = 6
SEED = 0

_RETRIEVALS_EXPLAINED = (
  f"{NUM_EXAMPLES} patches, drawn at random (seed {SEED}) from all held-out spots: failures show "
  "as often as they happen. Each searches the expression profiles of all held-out spots for its "
  f"own. The first {NUM_HITS} hits are shown by the patches of their spots, with the cosine and "
  "the keyword genes of their profiles. Green: the patch's own profile, and keyword genes shared "
  "with it."
)


def retrieval_examples(
  held_out: Cohort, corpus: Corpus, tables: Tables, config: configs.KeywordConfig
) -> tuple[Retrieval, ...]:
  """The examples; none where nothing is held out."""
  n = len(held_out.spots)
  if not n:
    return ()
  queries = np.random.default_rng(SEED).choice(n, min(NUM_EXAMPLES, n), replace=False)
  gallery = unit_rows(held_out.features["hibio/gene"])
  cosines = unit_rows(held_out.features["hibio/image"][queries]) @ gallery.T
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
  row_of = corpus.row_of
  index = [row_of[name] for name in cohort.spots["section_id"].to_numpy(str)[rows]]
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


def spot_patches(
  corpus: Corpus, spot_index: Int[np.ndarray, " spot"]
) -> UInt8[np.ndarray, "spot height width 3"]:
  """Patches of the given rows of the corpus, in their order; black where a spot has none."""
  windows = Windows(corpus, SPLITS)
  row_of = corpus.row_of
  chosen = corpus.spots.iloc[spot_index]
  rows = np.array([row_of[name] for name in chosen["section_id"]])
  numbers = np.searchsorted(windows.section, rows) + chosen["window"].to_numpy()
  px = corpus.patch_px
  patches = np.zeros((len(spot_index), px, px, 3), np.uint8)
  for number in np.unique(numbers):
    window = loader.assembled(windows, np.array([number]), 1)
    place = {int(spot): at for at, spot in enumerate(window["spot_index"][0])
             if window["spot_mask"][0, at]}  # fmt: skip
    for at in np.flatnonzero(numbers == number):
      patches[at] = window["patches"][0, place[int(spot_index[at])]]
  return patches
