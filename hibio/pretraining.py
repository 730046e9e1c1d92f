"""What pretraining and finetuning hand to the loop: batches, regions, looks at held-out donors."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from data_pipelines.loading import loader
from data_pipelines.loading.corpus import Corpus
from data_pipelines.preparation import regions
from hibio import configs
from hibio.batch import Batch, Tables
from hibio.evaluation.section_probe import section_probe
from hibio.forward import Forward, embed
from hibio.outputs import Outputs

HELD_OUT_BATCHES = 6
"""Batches of held-out donors looked at during training; enough for a curve."""

_SEEN = {"image": "has_patch", "gene": "has_counts"}


def training_batches(
  corpus: Corpus, training: configs.TrainingConfig, num_threads: int
) -> Callable[[int], Iterator[Batch]]:
  """Step -> the batches of training donors from that step on."""

  def batches(step: int) -> Iterator[Batch]:
    arrays = loader.batches(
      corpus,
      "train",
      windows_per_batch=training.windows_per_batch,
      sections_per_batch=training.sections_per_batch,
      seed=training.seed,
      start_step=step,
      num_threads=num_threads,
      process_index=jax.process_index(),
      process_count=jax.process_count(),
    )
    return (Batch(**one) for one in arrays)

  return batches


def refresh_regions(
  corpus: Corpus, frozen: Forward, training: configs.TrainingConfig
) -> Callable[[Any, Tables], np.ndarray]:
  """(params, tables) -> new nested regions of the training sections, by both modalities.

  Raises:
    BadInputError: a `training.region_method` that does not exist or cannot run here.
  """
  draw = regions.method(training.region_method)

  def refresh(params: Any, tables: Tables) -> np.ndarray:
    windows = loader.windows_once(corpus, ("train",), windows_per_batch=training.windows_per_batch)
    found = embed(frozen, params, tables, windows)
    features = np.concatenate([found.image, found.gene], axis=1)
    before = np.asarray(tables.regions)
    return regions.refreshed(
      before, corpus.spots, found.spot_index, features, training.region_spots, draw
    )

  return refresh


def held_out_split(corpus: Corpus) -> str:
  """The donors to look at while training: validation, else test, else none ("")."""
  return next((name for name in ("validation", "test") if corpus.manifest["splits"][name]), "")


def held_out(
  corpus: Corpus,
  split: str,
  frozen: Callable[..., Any],
  measure: Callable[..., dict[str, jax.Array]],
  training: configs.TrainingConfig,
  params,
  tables: Tables,
) -> dict[str, float]:
  """Mean metrics over a few windows of donors that are not trained on.

  Where `frozen` gives embeddings, also how well they tell the windows' sections apart.

  Args:
    frozen: (params, batch, tables) -> outputs.
    measure: (outputs, batch, tables) -> metrics.
  """
  arrays = loader.batches(
    corpus,
    split,
    windows_per_batch=training.windows_per_batch,
    sections_per_batch=training.sections_per_batch,
    seed=0,
  )
  measured, seen = [], []
  for one in itertools.islice(arrays, HELD_OUT_BATCHES):
    batch = Batch(**one)
    outputs = frozen(params, batch, tables)
    metrics = measure(outputs, batch, tables)
    measured.append({name: float(value) for name, value in metrics.items()})
    if isinstance(outputs, Outputs):
      seen.append((outputs.image, outputs.gene, batch))
  return {
    name: float(np.mean([one[name] for one in measured]))
    for name in measured[0]
    if name.startswith(("loss/", "chance/", "monitor/"))
  } | (_sections_told(seen) if seen else {})


def _sections_told(seen: Sequence[tuple[jax.Array, jax.Array, Batch]]) -> dict[str, float]:
  """What the section probe finds in either modality; nothing where there is one section."""
  images, genes, batches = zip(*seen, strict=True)
  found = {}
  for name, embeddings in (("image", images), ("gene", genes)):
    here = [batch.spot_mask & getattr(batch, _SEEN[name]) for batch in batches]
    sections = [np.broadcast_to(b.section_index[:, None], b.spot_mask.shape) for b in batches]

    def spots(arrays, here=here):
      return np.concatenate([np.asarray(a)[kept] for a, kept in zip(arrays, here, strict=True)])

    # A small split goes round more than once.
    _, once = np.unique(spots([b.spot_index for b in batches]), return_index=True)
    told = section_probe(
      spots(embeddings)[once],
      spots(sections)[once],
      spots([batch.positions_um for batch in batches])[once],
    )
    if told is not None:
      found[f"monitor/section_probe_{name}"] = told.accuracy
      found[f"monitor/section_probe_{name}_chance"] = told.chance
  return found
