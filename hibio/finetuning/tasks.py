"""What a model can be finetuned for: a registry of heads and the objectives that train them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from data_pipelines.problems import BadInputError
from hibio.batch import Batch, Tables
from hibio.configs import Stage
from hibio.finetuning import annotation, expression, heads
from hibio.finetuning.config import FinetuningConfig
from hibio.finetuning.expression import Values

CONTINUE = "continue"
"""Pretraining itself, on another corpus: its own objectives and stages, no head."""


@dataclasses.dataclass(frozen=True)
class Task:
  """A head on a spot's embedding, and the objective that trains it.

  Attributes:
    name: of the objective, of the stage and of the head.
    modality: what the head reads, a name in `hibio.finetuning.heads.MODALITIES`.
    begin: parameters of the model -> those of the head before the first step.
    objective: (what the head says, the head, batch, tables) -> values.
  """

  name: str
  modality: str
  begin: Callable[[Any], heads.Head]
  objective: Callable[[Any, heads.Head, Batch, Tables], Values]

  @property
  def stages(self) -> tuple[Stage, ...]:
    """One, with this objective alone."""
    return (Stage(self.name, 1.0, (self.name,)),)


def expression_mse(config: FinetuningConfig, label_weights: np.ndarray) -> Task:
  """Standardised log expression from the image; begins at the section's mean of every gene.

  Not as the model's own readout, which pretraining weighs towards keyword genes: that is worse than
  the mean at first (1.36 against 0.97 on held-out embedded tissue), and after 300 steps of a head
  alone still behind (Pearson 0.12 against 0.14).
  """
  del config, label_weights
  return Task("expression_mse", "image", _no_departure, expression.squared_error)


def expression_poisson(config: FinetuningConfig, label_weights: np.ndarray) -> Task:
  """Counts from the image, Poisson; begins as above."""
  del config, label_weights
  return Task("expression_poisson", "image", _no_departure, expression.poisson)


def expression_nb(config: FinetuningConfig, label_weights: np.ndarray) -> Task:
  """Counts from the image, negative binomial; begins as above, with an inverse dispersion of 1."""
  del config, label_weights

  def begin(params: Any) -> heads.Head:
    genes = len(params["gene_bias"])
    return {**_no_departure(params), "log_inverse_dispersion": jnp.zeros((genes,), jnp.float32)}

  return Task("expression_nb", "image", begin, expression.negative_binomial)


def annotation_of(config: FinetuningConfig, label_weights: np.ndarray) -> Task:
  """Labels from `config.modality`; begins with every label as likely as any other."""

  def begin(params: Any) -> heads.Head:
    width = len(heads.MODALITIES[config.modality]) * _embedding_width(params)
    return heads.zero(width, len(config.label_names))

  objective = annotation.labels(label_weights, config.modality)
  return Task("annotation", config.modality, begin, objective)


TASKS: dict[str, Callable[[FinetuningConfig, np.ndarray], Task]] = {
  "expression_mse": expression_mse,
  "expression_poisson": expression_poisson,
  "expression_nb": expression_nb,
  "annotation": annotation_of,
}
"""Name -> (config, what a spot of each label counts) -> the task."""


def check(config: FinetuningConfig) -> None:
  """Refuses names that do not exist.

  Raises:
    BadInputError: names the key.
  """
  for field, known in (("task", (*TASKS, CONTINUE)), ("modality", tuple(heads.MODALITIES))):
    name = getattr(config, field)
    if name not in known:
      raise BadInputError(
        "config", f"finetuning.{field}", repr(name), f"one of {', '.join(known)}",
        "correct the name",
      )  # fmt: skip
  if config.task == CONTINUE and config.trainable == "head":
    raise BadInputError(
      "config", "finetuning.trainable", "head, with a task that has none",
      "lora, last_blocks or full", "train some of the model itself",
    )  # fmt: skip


def _no_departure(params: Any) -> heads.Head:
  return heads.zero(_embedding_width(params), len(params["gene_bias"]))


def _embedding_width(params: Any) -> int:
  return params["readout_image"]["kernel"].shape[0]
