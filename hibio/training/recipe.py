"""What the loop is handed, and what it gives back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from hibio.batch import Batch, Tables
from hibio.configs import ModelConfig, ObjectiveConfig, TrainingConfig
from hibio.training.description import describe
from hibio.training.optimizer import Trained
from hibio.training.step import Forward, Total

Refresh = Callable[[Any, Tables], np.ndarray]
Evaluate = Callable[[Any, Tables], Mapping[str, float]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
  """A run, as functions, arrays and configs.

  Attributes:
    init: the untrained parameters.
    forward: (params, batch, tables, key) -> outputs.
    total: (outputs, batch, tables, weights, key) -> (loss, metrics).
    batches: step -> the batches from that step on, without end; each process gives its own part.
    tables: statistics, gene sets and first regions of the corpus.
    training: how many steps, in which stages, on which mesh.
    model: the shape of the model.
    objectives: its weights are those of the loss.
    panel: the gene panel: `hash`, `ids`, `symbols` and `save(path)`.
    corpus: what `hibio.corpora.described` says.
    refresh_regions: (params, tables) -> new regions of every spot of the corpus.
    evaluate: (params, tables) -> metrics of held-out donors, logged under "held_out/".
    trained: which parameters are; None for all of them.
    more_config: further parts of the config, written and compared like the others.
    earlier_corpus: what `init`'s parameters were trained on before, as their checkpoint says.
  """

  init: Callable[[], Any]
  forward: Forward
  total: Total
  batches: Callable[[int], Iterator[Batch]]
  tables: Tables
  training: TrainingConfig
  model: ModelConfig
  objectives: ObjectiveConfig
  panel: Any
  corpus: Mapping[str, Any]
  refresh_regions: Refresh | None = None
  evaluate: Evaluate | None = None
  trained: Trained | None = None
  more_config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  earlier_corpus: Mapping[str, Any] | None = None

  @property
  def weights(self) -> dict[str, float]:
    return dict(self.objectives.weights)

  def describe(self) -> dict[str, Any]:
    """What every checkpoint says of the run."""
    config = {
      "model": dataclasses.asdict(self.model),
      "objectives": dataclasses.asdict(self.objectives) | {"weights": self.weights},
      "training": dataclasses.asdict(self.training),
      **self.more_config,
    }
    return describe(config, self.panel, self.corpus, self.earlier_corpus)


@dataclasses.dataclass(frozen=True)
class TrainResult:
  """A finished run.

  Attributes:
    params: of the model, laid out on the mesh.
    regions: region of each spot of the corpus at each level, as last refreshed.
    step: steps taken.
    skipped: those of them that changed nothing, as something was not finite.
  """

  params: Any
  regions: np.ndarray
  step: int
  skipped: int
