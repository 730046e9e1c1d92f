"""What finetuning can learn: a head, its loss, and the classes that a corpus' labels give it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from data_pipelines.loading.corpus import Corpus
from data_pipelines.problems import BadInputError
from data_pipelines.section import UNLABELLED
from hibio.batch import Batch, Tables
from hibio.configs import Stage
from hibio.finetuning import heads
from hibio.finetuning.config import FinetuningConfig

NO_LABEL = -1


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
  objective: Callable[[Any, heads.Head, Batch, Tables], heads.Values]

  @property
  def stages(self) -> tuple[Stage, ...]:
    """One, with this objective alone."""
    return (Stage(self.name, 1.0, (self.name,)),)


def expression_mse(config: FinetuningConfig, label_weights: np.ndarray) -> Task:
  """Standardised log expression from the image; begins at the section's mean of every gene.

  Not as the model's own readout, which pretraining weighs towards keyword genes: that is worse than
  the mean at first (1.36 against 0.97 on held-out synthetic tissue), and after 300 steps of a head
  alone still behind (Pearson 0.12 against 0.14).
  """
  del config, label_weights
  return Task("expression_mse", "image", _no_departure, heads.squared_error)


def expression_poisson(config: FinetuningConfig, label_weights: np.ndarray) -> Task:
  """Counts from the image, Poisson; begins as above."""
  del config, label_weights
  return Task("expression_poisson", "image", _no_departure, heads.poisson)


def expression_nb(config: FinetuningConfig, label_weights: np.ndarray) -> Task:
  """Counts from the image, negative binomial; begins as above, with an inverse dispersion of 1."""
  del config, label_weights

  def begin(params: Any) -> heads.Head:
    genes = len(params["gene_bias"])
    return {**_no_departure(params), "log_inverse_dispersion": jnp.zeros((genes,), jnp.float32)}

  return Task("expression_nb", "image", begin, heads.negative_binomial)


def annotation_of(config: FinetuningConfig, label_weights: np.ndarray) -> Task:
  """Labels from `config.modality`; begins with every label as likely as any other."""

  def begin(params: Any) -> heads.Head:
    width = len(heads.MODALITIES[config.modality]) * _embedding_width(params)
    return heads.zero(width, len(config.label_names))

  objective = heads.label_cross_entropy(label_weights, config.modality)
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


def of_task(
  corpus: Corpus, config: FinetuningConfig
) -> tuple[FinetuningConfig, np.ndarray | None, np.ndarray]:
  """The config with its label column and classes filled in, class of each spot, class weights.

  Classes are the labels that training donors carry; a spot with any other is unlabelled. A task
  without labels has no table and no weights.

  Raises:
    BadInputError: no such column, none named where there are several, or fewer than two classes.
  """
  if config.task != "annotation":
    return config, None, np.zeros(0, np.float32)
  column = _column(corpus, config.label)
  split = {s["section_id"]: s["split"] for s in corpus.manifest["sections"]}
  train = np.array([split[name] == "train" for name in corpus.spots["section_id"]])
  found = corpus.spots[column].astype(str).to_numpy()
  names = sorted(name for name in set(found[train]) if name.lower() not in UNLABELLED)
  if len(names) < 2:
    raise BadInputError(
      corpus.path, f"label {column}", f"{len(names)} class(es) among the training donors",
      "at least two", "label more sections, or prepare with other --test_donors",
    )  # fmt: skip
  row_of = {name: row for row, name in enumerate(names)}
  table = np.array([row_of.get(name, NO_LABEL) for name in found], np.int32)
  weights = heads.balancing_weights(table[train], len(names))
  return dataclasses.replace(config, label=column, label_names=tuple(names)), table, weights


def _no_departure(params: Any) -> heads.Head:
  return heads.zero(_embedding_width(params), len(params["gene_bias"]))


def _embedding_width(params: Any) -> int:
  return params["readout_image"]["kernel"].shape[0]


def _column(corpus: Corpus, wanted: str) -> str:
  known = tuple(corpus.manifest["labels"])
  if wanted in known:
    return wanted
  if not wanted and len(known) == 1:
    return known[0]
  raise BadInputError(
    corpus.path, "label", repr(wanted) if wanted else "none chosen",
    f"one of {', '.join(known)}" if known else "a corpus with labels",
    "pass --config.finetuning.label=NAME"
    if known
    else "name a table of labels in metadata.csv and prepare again",
  )  # fmt: skip
