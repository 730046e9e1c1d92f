"""Level 1, keyword genes: what kind of genes a score picks, how stably, and whether they are right.

Every method picks as many genes as the model reads. Beside the model's own score stand the others,
the most variable and the most spatially variable genes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from data_pipelines.preparation.spatial_genes import expected_morans_i
from hibio.evaluation import keyword_lists
from hibio.evaluation.baselines import ORACLE, planted
from hibio.evaluation.baselines.counts import SENTENCE
from hibio.evaluation.keyword_lists import SectionLists, jaccard
from hibio.evaluation.methods import MODEL, Method
from hibio.evaluation.rows import Row, mean_defined, over_parts
from hibio.evaluation.setting import Setting
from hibio.keywords import keyword_scores

DRAWS = 200
"""Random lists of K genes, for the overlap that chance gives."""


def rows(setting: Setting, method: Method) -> Iterator[Row]:
  """What a method picks, beside the planted genes; what kind it is, how stable and how special."""
  yield from _planted(setting, method)
  if not setting.thorough:
    return
  found = lists(setting)
  if not all(method.name in one.of for one in found.values()):
    return
  own = {section: one.of[method.name].genes for section, one in found.items()}
  for metric, parts, chance in composition(found, method.name, setting.housekeeping.genes):
    note = setting.housekeeping.source if metric.startswith("housekeeping") else ""
    yield _row(setting, method, "what is picked", metric, parts, chance, note)
  chance = setting.once(("random lists",), lambda: random_jaccard(found, _size(setting)))
  pairs = keyword_lists.stability(own, setting.donor_of)
  for metric, values in zip(("jaccard_same_donor", "jaccard_other_donor"), pairs, strict=True):
    parts = {f"pair {number}": value for number, value in enumerate(values, 1)}
    yield _row(setting, method, "stability of lists", metric, parts, chance)
  for other in next(iter(found.values())).of:
    parts = {s: jaccard(genes, found[s].of[other].genes) for s, genes in own.items()}
    yield _row(setting, method, "overlap of lists (Jaccard)", other, parts, chance)


def lists(setting: Setting) -> dict[str, SectionLists]:
  """What every method picks in each section of the corpus: held-out donors are no matter here, as
  no parameter is asked."""
  size, row_of = _size(setting), setting.corpus.row_of
  scores = {
    method.name: dataclasses.replace(method.keywords, num_keywords=size)
    for method in setting.methods
    if method.keywords is not None
  }

  def measured() -> dict[str, SectionLists]:
    return {
      section: keyword_lists.of_section(
        setting.cohort, section, row, setting.tables.statistics, scores, scores[MODEL]
      )
      for section, row in row_of.items()
    }

  return setting.once(("keyword lists",), measured)


def composition(
  found: Mapping[str, SectionLists], method: str, housekeeping: Bool[np.ndarray, " gene"]
) -> Iterator[tuple[str, dict[str, float], float]]:
  """(metric, section -> value, chance): how spatial, how common and how rare the genes are."""
  chances = [_chances(one, housekeeping) for one in found.values()]
  values = {section: _values(one, method, housekeeping) for section, one in found.items()}
  for metric in next(iter(values.values())):
    parts = {section: own[metric] for section, own in values.items()}
    yield metric, parts, mean_defined(np.array([own[metric] for own in chances]))


def _values(
  one: SectionLists, method: str, housekeeping: Bool[np.ndarray, " gene"]
) -> dict[str, float]:
  own = one.of[method]
  found = {
    "morans_i": mean_defined(one.morans_i[own.genes]),
    "morans_i_shuffled_spots": own.shuffled,
    "housekeeping_share": mean_defined(housekeeping[own.genes].astype(float)),
    "single_count_share": own.single,
  }
  if own.weights is not None:
    found["morans_i_by_weight"] = float(own.weights @ np.nan_to_num(one.morans_i))
    found["housekeeping_by_weight"] = float(own.weights @ housekeeping)
  return found


def _chances(one: SectionLists, housekeeping: Bool[np.ndarray, " gene"]) -> dict[str, float]:
  """What genes drawn from the eligible ones give; for shuffled spots, -1 / (n - 1)."""
  spatial = mean_defined(one.morans_i[one.eligible])
  common = float(housekeeping[one.eligible].mean())
  return {
    "morans_i": spatial,
    "morans_i_by_weight": spatial,
    "morans_i_shuffled_spots": expected_morans_i(one.num_spots),
    "housekeeping_share": common,
    "housekeeping_by_weight": common,
    "single_count_share": one.single,
  }


def random_jaccard(found: Mapping[str, SectionLists], num_keywords: int) -> float:
  """Mean overlap of two lists of K genes drawn from those that could be picked."""
  rng, pools = np.random.default_rng(0), [np.flatnonzero(one.eligible) for one in found.values()]
  draws = []
  for number in range(DRAWS):
    pool = pools[number % len(pools)]
    draws.append(jaccard(*(rng.permutation(pool)[:num_keywords] for _ in range(2))))
  return float(np.mean(draws))


def purity(
  scores: Float[np.ndarray, "spot gene"], planted: Bool[np.ndarray, "spot gene"], num_keywords: int
) -> Float[np.ndarray, " spot"]:
  """Share of each spot's top genes that are planted there; genes that score 0 are not picked."""
  top = np.argsort(-scores, axis=1, kind="stable")[:, :num_keywords]
  picked = np.take_along_axis(scores, top, 1) > 0
  hits = np.take_along_axis(planted, top, 1) & picked
  return hits.sum(1) / num_keywords


def _planted(setting: Setting, method: Method) -> Iterator[Row]:
  """Share of planted and of housekeeping genes among each spot's first, in synthetic tissue.

  The oracle picks planted genes that the spot expresses. Chance picks evenly among all that it
  expresses. Gates are those of pretraining, except for raw counts, which have none.
  """
  truth, scored = planted.truth_of(setting.corpus.path), setting.scored
  if truth is None or (method.keywords is None and method.name != ORACLE):
    return
  counts = np.asarray(scored.counts.todense())
  genes = planted.planted_genes(truth, setting.corpus.panel, scored)
  common = planted.housekeeping_genes(truth, setting.corpus.panel)
  if method.name == ORACLE:
    scores = (genes & (counts > 0)).astype(np.float32)
  else:
    row_of = setting.corpus.row_of
    section = np.array([row_of[name] for name in scored.spots["section_id"]], np.int32)
    scores = keyword_scores(
      jnp.asarray(counts)[:, None], setting.tables.statistics, jnp.asarray(section), method.keywords
    )
    scores = np.asarray(scores)[:, 0]
  for metric, wanted in (
    ("purity", genes),
    ("housekeeping_share", np.broadcast_to(common, genes.shape)),
  ):
    found = purity(scores, wanted, SENTENCE)
    yield Row(
      "keywords", setting.corpus.name, f"top {SENTENCE} of each spot", setting.split, metric,
      method.name, float(found.mean()), len(found), _even_guess(wanted, counts > 0),
      parts={name: float(found[rows].mean()) for name, rows in scored.sections()},
    )  # fmt: skip


def _even_guess(
  wanted: Bool[np.ndarray, "spot gene"], expressed: Bool[np.ndarray, "spot gene"]
) -> float:
  """Share of the wanted genes among those a spot expresses, mean over spots."""
  return float(((wanted & expressed).sum(1) / np.maximum(expressed.sum(1), 1)).mean())


def _row(
  setting: Setting, method: Method, what: str, metric: str, parts: dict, chance: float, note=""
) -> Row:
  return over_parts(
    parts,
    task="keywords",
    dataset=setting.corpus.name,
    protocol=f"{what}, top {_size(setting)}",
    split=f"{len(setting.corpus.row_of)} sections",
    metric=metric,
    method=method.name,
    chance=chance,
    note=note,
  )


def _size(setting: Setting) -> int:
  """Keyword genes of a spot, as the model reads them."""
  return setting.method(MODEL).keywords.num_keywords
