"""Who answers: checkpoints, a checkpoint before its first step, simple baselines."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from data_pipelines import console
from data_pipelines.loading.corpus import Corpus
from hibio import configs, corpora, forward, pretrained
from hibio import keywords as keyword_scores_
from hibio.batch import Tables
from hibio.encoders import pretrained as network_encoder
from hibio.forward import Forward
from hibio.readout import Readout

MODEL, UNTRAINED = "hibio", "untrained"
"""The model that is evaluated, and the same before its first step."""


@dataclasses.dataclass(frozen=True, eq=False)
class Method:
  """Who answers: a model, or a simple baseline.

  Attributes:
    name: what its features begin with: "pca" has "pca/gene".
    params: of a model, over the corpus' gene sets; None for a baseline.
    tables: of the corpus, with what this model took for granted of genes; None for a baseline.
    corpus: with what this model reads of its images; None for a baseline.
    forward: the model's forward function, where it may be asked more than its features say.
    keywords: the rule by which it picks keyword genes, if that is asked of it.
    neighbour_radius_um: spots that lie nearer are excluded as negatives.
    readout: what is stored beside the checkpoint to predict expression by.
    tasks: what it is asked; None for everything that it has the features for.
    known: spots that its features say something of; None for all that have an image.
    tree, headline: of a baseline, as its line in the registry says.
  """

  name: str
  params: Any = None
  tables: Tables | None = None
  corpus: Corpus | None = None
  forward: Forward | None = None
  keywords: configs.KeywordConfig | None = None
  neighbour_radius_um: float | None = None
  readout: Readout | None = None
  tasks: tuple[str, ...] | None = None
  known: np.ndarray | None = None
  tree: bool = False
  headline: tuple[str, ...] = ()

  @property
  def is_model(self) -> bool:
    return self.params is not None


def trained(name: str, model: pretrained.Pretrained, corpus: Corpus) -> Method:
  """A checkpoint as a method."""
  return Method(
    name,
    params=corpora.params_over(model, corpus),
    tables=corpora.tables_for(model, corpus),
    corpus=corpora.as_read_by(model, corpus),
    forward=console.announcing(
      forward.frozen(model.model), "compiling the model", "5 to 30 s on a CPU"
    ),
    keywords=model.model.config.keywords,
    neighbour_radius_um=model.objectives.neighbour_radius_um,
    readout=model.readout,
  )


def untrained(model: pretrained.Pretrained, like: Method) -> Method:
  """The checkpoint `like` was made of, before its first step; nothing of it has been trained.

  Where its image encoder began as a pretrained network, this one is that network with drawn
  weights. Features are those that the checkpoint reads. It is not asked for keyword genes: they do
  not depend on parameters. A stored readout of frozen features alone owes nothing to training, so
  it has the same.
  """
  first = corpora.first_window(like.corpus)
  params = forward.initial_params(model.model, first, like.tables, model.seed)
  network = network_encoder.weights_of(model.model.config, untrained=True)
  params = network_encoder.begun(params, network, model.seed)
  readout = like.readout if like.readout and "embedding" not in like.readout.reads else None
  return dataclasses.replace(like, name=UNTRAINED, params=params, keywords=None, readout=readout)


def of_models(models: Mapping[str, pretrained.Pretrained], corpus: Corpus) -> Iterator[Method]:
  """Checkpoints by their names, then the first of them untrained."""
  found = [trained(name, model, corpus) for name, model in models.items()]
  found.append(untrained(next(iter(models.values())), found[0]))
  yield from map(on_device, found)


def on_device(method: Method) -> Method:
  """The method with its parameters where all others have theirs.

  Elsewhere, or put there in another way, the same function would be compiled once more.
  """
  return dataclasses.replace(method, params=jax.device_put(method.params, jax.devices()[0]))


def keyword_scores() -> list[Method]:
  """Every keyword score as textbooks have it, over the whole panel."""
  return [
    Method(
      score, keywords=configs.KeywordConfig(score=score, spatial_power=0.0), tasks=("keywords",)
    )
    for score in keyword_scores_.SCORES
  ]
