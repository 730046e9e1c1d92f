"""Which genes tell a spot from the rest of its section: scores, gates and the top K.

Every score is at least 0, and a gene with score 0 is never a keyword. A score compares a gene's
share of the spot's counts with the background, which is the spot's own section.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from data_pipelines.problems import BadInputError
from hibio.batch import SectionStatistics
from hibio.configs import KeywordConfig
from hibio.expression import fraction
from hibio.outputs import Keywords

_RAREST = 1e-6
"""A gene rarer than one count in a million is taken to be that rare."""

_UNPATTERNED = 1e-4
"""Pattern of a gene that has none: it still counts where nothing else is left to say."""


class Background(NamedTuple):
  """What is expected of each gene before a spot is looked at.

  Attributes:
    document_share: share of spots that express the gene.
    mean_fraction: mean share of a spot's counts.
    frequent: genes that enough spots express to be told from noise.
  """

  document_share: Float[Array, "window gene"]
  mean_fraction: Float[Array, "window gene"]
  frequent: Bool[Array, "window gene"]


def background_of(
  statistics: SectionStatistics, section_index: Int[Array, " window"], config: KeywordConfig
) -> Background:
  """The spot's own section."""
  spots = statistics.num_spots[section_index][:, None]
  documents = statistics.document_frequency[section_index]
  enough = jnp.maximum(config.min_document_share * spots, float(config.min_documents))
  return Background(
    (documents + 1.0) / (spots + 1.0), statistics.mean_fraction[section_index], documents >= enough
  )


def raw(
  fraction: Float[Array, "window spot gene"], background: Background
) -> Float[Array, "window spot gene"]:
  """The share itself: the most expressed genes win. The control without any reweighting."""
  del background
  return fraction


def tf_idf(
  fraction: Float[Array, "window spot gene"], background: Background
) -> Float[Array, "window spot gene"]:
  """Share times -ln(document share): a gene that every spot expresses scores 0."""
  return fraction * _idf(background)[:, None]


def tf_idf_smooth(
  fraction: Float[Array, "window spot gene"], background: Background
) -> Float[Array, "window spot gene"]:
  """Share times (1 - ln(document share)), as in text retrieval: nothing ever scores 0."""
  return fraction * (_idf(background)[:, None] + 1.0)


def surprisal(
  fraction: Float[Array, "window spot gene"], background: Background
) -> Float[Array, "window spot gene"]:
  """Share times ln(share / expected share), where above 0: how far the spot stands out.

  Summed over genes it is at least the Kullback-Leibler divergence of the spot from the background.
  """
  expected = background.mean_fraction[:, None] + _RAREST
  return fraction * jnp.maximum(jnp.log(jnp.maximum(fraction, _RAREST) / expected), 0.0)


SCORES: dict[str, Callable[..., Float[Array, "window spot gene"]]] = {
  "raw": raw,
  "tf_idf_smooth": tf_idf_smooth,
  "tf_idf": tf_idf,
  "surprisal": surprisal,
}
"""How strongly a gene speaks for a spot."""

UNGATED = ("raw",)
"""Scores without gates: what one gets by doing nothing."""


def keyword_scores(
  counts: Int[Array, "window spot gene"],
  statistics: SectionStatistics,
  section_index: Int[Array, " window"],
  config: KeywordConfig,
) -> Float[Array, "window spot gene"]:
  """Score of every gene of every spot; 0 for genes that cannot be keywords.

  Those are genes that are not expressed, not measured, or too rare: in the spot
  (`config.min_count`) or in the section (`config.min_documents`, `config.min_document_share`).

  Raises:
    BadInputError: no score has that name.
  """
  score = _named("score", config.score, SCORES)
  statistics = jax.tree.map(jnp.asarray, statistics)
  background = background_of(statistics, section_index, config)
  scores = score(fraction(counts, statistics.measured[section_index][:, None]), background)
  if config.score in UNGATED:
    return scores
  allowed = background.frequent[:, None] & (counts >= config.min_count)
  return jnp.where(allowed, scores * pattern(statistics, config)[None, None], 0.0)


def pattern(statistics: SectionStatistics, config: KeywordConfig) -> Float[Array, " gene"]:
  """What each gene's pattern over the tissue makes it count; 1 throughout for a power of 0."""
  return (jnp.asarray(statistics.corpus_spatial) + _UNPATTERNED) ** config.spatial_power


def top_keywords(
  scores: Float[Array, "window spot gene"],
  fraction: Float[Array, "window spot gene"],
  measured: Bool[Array, "window gene"],
  num_keywords: int,
) -> tuple[Keywords, Float[Array, "window spot gene"]]:
  """The best `num_keywords` genes of each spot, strongest first, and their weights over all genes.

  At most a quarter of the genes a platform measures are kept: all genes of a small panel would be
  no choice. Of genes with the same score the first of the panel is taken.
  """
  num_genes = scores.shape[-1]
  values, gene = jax.lax.top_k(scores, min(num_keywords, num_genes))
  at_most = jnp.maximum(measured.sum(-1, dtype=jnp.int32) // 4, 1)
  rank = jnp.arange(gene.shape[-1], dtype=jnp.int32)
  mask = (values > 0) & (rank[None, None] < at_most[:, None, None])
  weight = jnp.where(mask, values, 0.0)
  weight = weight / jnp.maximum(weight.sum(-1, keepdims=True), 1e-12)
  share = jnp.where(mask, jnp.take_along_axis(fraction, gene, axis=-1), 0.0)

  def spread(gene, weight):
    return jnp.zeros(num_genes, weight.dtype).at[gene].set(weight, unique_indices=True)

  dense = jax.vmap(jax.vmap(spread))(gene, weight)
  return Keywords(gene=gene, fraction=share, weight=weight, mask=mask), dense


def _idf(background: Background) -> Float[Array, "window gene"]:
  return jnp.maximum(-jnp.log(background.document_share), 0.0)


def _named(field: str, name: str, known: dict[str, Callable]) -> Callable:
  if name not in known:
    raise BadInputError(
      "config", f"model.keywords.{field}", name, f"one of {', '.join(known)}", "correct the name"
    )
  return known[name]
