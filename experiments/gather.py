"""A corpus and frozen models -> the `Cohort` that every task reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import scipy.sparse

from data_pipelines.loading import loader
from data_pipelines.loading.corpus import Corpus
from experiments.inputs import SPLITS
from hibio.batch import Tables
from hibio.embedding import Embedded, Forward, embed
from hibio.tasks.baselines import colour_statistics
from hibio.tasks.cohort import Cohort

WINDOWS_PER_BATCH = 4


def cohort(corpus: Corpus, models: Mapping[str, tuple[Forward, dict]], tables: Tables) -> Cohort:
  """Every spot of the corpus that has an image and counts, with each model's embeddings.

  Args:
    models: name -> (frozen forward, params).

  Returns:
    Features "<name>/image", "<name>/gene", "<name>/fused" for each model and "colour/image".
  """
  features, readout, seen = {}, {}, None
  every_gene = np.arange(len(corpus.panel))
  for name, (frozen, params) in models.items():
    found: Embedded = embed(frozen, params, tables, _windows(corpus), every_gene)
    seen = found.spot_index
    features[f"{name}/image"], features[f"{name}/gene"] = found.image, found.gene
    features[f"{name}/fused"] = np.concatenate([found.image, found.gene], axis=1)
    readout[name] = found.readout
  counts, colours, complete = _counts_and_colours(corpus)
  ids = corpus.spots["section_id"].to_numpy()
  split = {s["section_id"]: s["split"] for s in corpus.manifest["sections"]}
  donor = {s["section_id"]: s["donor_id"] for s in corpus.manifest["sections"]}
  spots = corpus.spots.assign(
    split=[split[section] for section in ids],
    donor_id=[donor[section] for section in ids],
    has_patch=complete,  # spots with one modality only are left out below
    has_counts=complete,
  )
  measured = {
    s["section_id"]: np.asarray(corpus.statistics["measured"][row])
    for row, s in enumerate(corpus.manifest["sections"])
  }
  assert seen is None or np.array_equal(seen, np.arange(len(spots)))  # one row a spot
  whole = Cohort(
    corpus.name, spots, counts, measured, {**features, "colour/image": colours}, readout
  )
  return whole.subset(complete)


def _windows(corpus: Corpus) -> Iterator[dict[str, np.ndarray]]:
  return loader.windows_once(corpus, SPLITS, windows_per_batch=WINDOWS_PER_BATCH)


def _counts_and_colours(corpus: Corpus):
  n = len(corpus.spots)
  colours, complete, rows, order = None, np.zeros(n, bool), [], []
  for batch in _windows(corpus):
    real = batch["spot_mask"]
    index = batch["spot_index"][real]
    statistics = colour_statistics(batch["patches"][real])
    colours = np.zeros((n, statistics.shape[1]), np.float32) if colours is None else colours
    colours[index] = statistics
    complete[index] = (batch["has_patch"] & batch["has_counts"])[real]
    rows.append(scipy.sparse.csr_matrix(batch["counts"][real]))
    order.append(index)
  inverse = np.argsort(np.concatenate(order))
  return scipy.sparse.vstack(rows).tocsr()[inverse], colours, complete
