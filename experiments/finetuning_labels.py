"""Labels of a corpus as a table of the device, with the names and weights that go with it."""

from __future__ import annotations

import dataclasses

import numpy as np

from data_pipelines.loading.corpus import Corpus
from data_pipelines.problems import BadInputError
from hibio.finetuning.config import FinetuningConfig
from hibio.objectives.labels import UNLABELLED, balancing_weights
from hibio.tasks.labels import UNSCORED


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
  names = sorted(name for name in set(found[train]) if name.lower() not in UNSCORED)
  if len(names) < 2:
    raise BadInputError(
      corpus.path, f"label {column}", f"{len(names)} class(es) among the training donors",
      "at least two", "label more sections, or prepare with other --test_donors",
    )  # fmt: skip
  row_of = {name: row for row, name in enumerate(names)}
  table = np.array([row_of.get(name, UNLABELLED) for name in found], np.int32)
  weights = balancing_weights(table[train], len(names))
  return dataclasses.replace(config, label=column, label_names=tuple(names)), table, weights


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
