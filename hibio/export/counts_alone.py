"""What the counts of a section say at the levels of a model, before any of its towers is asked.

Keyword scores and pathway activity are what training compares embeddings with. They are shown
beside what the model says, so that a reader can see how far it is from what was measured.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from data_pipelines.section import Section, of_section
from hibio import keywords, pathways
from hibio.export.counted import Counted
from hibio.export.embedding import frozen_of
from hibio.pretrained import Pretrained

_PIECE = 256
"""Spots on the device at a time; their counts are dense there."""


@dataclasses.dataclass(frozen=True)
class CountsAlone:
  """One row a spot of the section.

  Attributes:
    genes: symbols of the model's panel.
    pathways: names of its gene sets.
    counts: raw counts over the panel.
    keyword_scores: how strongly each gene speaks for the spot; 0 for genes that cannot be keywords.
    activity: of each gene set, in standard deviations of the section; 0 where it is not measured.
  """

  genes: np.ndarray
  pathways: tuple[str, ...]
  counts: Int[np.ndarray, "spot gene"]
  keyword_scores: Float[np.ndarray, "spot gene"]
  activity: Float[np.ndarray, "spot pathway"]


def counts_alone(model: Pretrained, section: Section) -> CountsAlone:
  """Keyword scores and activity of all spots of a section; dense, so one section at a time.

  Raises:
    BadInputError: the section shares hardly a gene with the model, or has no counts over its panel.
  """
  frozen = frozen_of(model, None)
  counted = Counted(of_section(section, 0), frozen.panel, frozen.tables.membership)
  tables, here = frozen.tables.of_section(counted.table), jnp.zeros(1, jnp.int32)
  counts = counted.rows(np.arange(section.num_spots)).toarray().astype(np.int32)
  scores, activity = [], []
  for start in range(0, len(counts), _PIECE):
    piece = np.zeros((1, _PIECE, counts.shape[1]), np.int32)  # one shape: compiled once
    real = len(counts[start : start + _PIECE])
    piece[0, :real] = counts[start : start + _PIECE]
    dense = jnp.asarray(piece)
    found = keywords.keyword_scores(dense, tables.statistics, here, model.model.config.keywords)
    scores.append(np.asarray(found)[0, :real])
    found = pathways.standardised_activity(
      dense, tables.statistics, jnp.asarray(tables.membership), here
    )
    activity.append(np.asarray(found)[0, :real])
  return CountsAlone(
    genes=np.array(frozen.panel.symbols),
    pathways=frozen.tables.names,
    counts=counts,
    keyword_scores=np.concatenate(scores),
    activity=np.concatenate(activity),
  )
