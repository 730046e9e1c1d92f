"""A corpus and frozen models -> the `Cohort` that every task reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import scipy.sparse

from data_pipelines.loading import loader, splitting
from data_pipelines.loading.corpus import Corpus
from data_pipelines.preparation.regions import refreshed
from hibio import pathways
from hibio.batch import Tables
from hibio.corpora import SPLITS
from hibio.evaluation import zero_shot
from hibio.evaluation.baselines import BASELINES
from hibio.evaluation.cohort import Cohort, modality
from hibio.forward import Forward, SpotVectors, spot_vectors
from hibio.readout import Readout

WINDOWS_PER_BATCH = 4
OfPatches = Callable[[np.ndarray, float], dict[str, np.ndarray]]
"""(patches, micrometres a pixel) -> features by name."""

MODALITIES = ("image", "gene", "fused")

Windows = Callable[[Corpus], Iterator[dict[str, np.ndarray]]]
"""What a model is shown of a corpus, batch by batch."""


def of_patches(patches: np.ndarray, um_per_px: float) -> dict[str, np.ndarray]:
  """The baselines that are measured in patches."""
  found = ((name, one.of_patches) for name, one in BASELINES.items() if one.of_patches)
  return {name: measure(patches, um_per_px) for name, measure in found}


def measured(corpus: Corpus, of_patches: OfPatches | None = of_patches) -> Cohort:
  """Every spot of the corpus with its counts and what can be measured in its patch; no model.

  Features "colour/image", "texture/image" and "nuclei/image" where the corpus has images, read from
  its patches also where models read features of an encoder; `has_patch` is then where these are
  known. Sections that are in none of the three splits take no part.

  Args:
    of_patches: what is measured instead; None for nothing, which leaves the images unread.
  """
  n = len(corpus.spots)
  has_patch, has_counts = np.zeros(n, bool), np.zeros(n, bool)
  statistics: dict[str, np.ndarray] = {}
  counts, order = [], []
  um_per_px = corpus.manifest["patch"]["um"] / corpus.manifest["patch"]["px"]
  for batch in every_window(dataclasses.replace(corpus, features=None), of_patches is not None):
    real = batch["spot_mask"]
    index = batch["spot_index"][real]
    has_patch[index], has_counts[index] = batch["has_patch"][real], batch["has_counts"][real]
    counts.append(scipy.sparse.csr_matrix(batch["counts"][real]))
    order.append(index)
    if of_patches and (seen := batch["has_patch"] & real).any():
      found = of_patches(batch["patches"][seen], um_per_px)
      for name, values in found.items():
        table = statistics.setdefault(name, np.zeros((n, values.shape[1]), np.float32))
        table[batch["spot_index"][seen]] = values
  if corpus.features is not None:
    has_patch = corpus.features.known
  taken = np.concatenate(order)
  kept = np.sort(taken)
  spots = corpus.spots.assign(
    spot_index=np.arange(n), has_patch=has_patch, has_counts=has_counts
  ).iloc[kept]
  sections = {s["section_id"]: s for s in corpus.manifest["sections"]}
  of_section = [sections[name] for name in spots["section_id"]]
  spots = spots.assign(
    split=[one["split"] for one in of_section],
    donor_id=[one["donor_id"] for one in of_section],
    patient=[splitting.patient_of(one) for one in of_section],
  ).reset_index(drop=True)
  return Cohort(
    dataset=corpus.name,
    spots=spots,
    counts=scipy.sparse.vstack(counts).tocsr()[np.argsort(taken)],
    measured={
      name: np.asarray(corpus.statistics["measured"][row]) for row, name in enumerate(sections)
    },
    features={f"{name}/image": values[kept] for name, values in statistics.items()},
    gene_symbols=corpus.panel.symbols,
  )


def with_model(
  cohort: Cohort,
  corpus: Corpus,
  name: str,
  frozen: Forward,
  params: Mapping,
  tables: Tables,
  readout_genes: np.ndarray,
  windows: Windows | None = None,
) -> Cohort:
  """The cohort with a frozen model's embeddings "<name>/image", "/gene", "/fused" and readout.

  Args:
    windows: what the model is shown; by default every window of the corpus as it is.
  """
  shown = (windows or every_window)(corpus)
  found: SpotVectors = spot_vectors(frozen, params, tables, shown, readout_genes)
  rows = np.searchsorted(found.spot_index, cohort.spots["spot_index"].to_numpy())
  image, gene = found.image[rows], found.gene[rows]
  fused = np.concatenate([image, gene], axis=1)
  embeddings = dict(zip(MODALITIES, (image, gene, fused), strict=True))
  return dataclasses.replace(
    cohort,
    features={**cohort.features, **{f"{name}/{seen}": v for seen, v in embeddings.items()}},
    readout={**cohort.readout, name: found.readout[rows]},
    readout_genes=readout_genes,
  )


def with_stored_readout(cohort: Cohort, corpus: Corpus, name: str, stored: Readout) -> Cohort:
  """The cohort with what the stored readout says in place of the model's own head.

  log1p of counts per 10,000; not-a-number in spots without a patch, and for genes that no training
  section measures.
  """
  predicted = np.full((len(cohort.spots), len(cohort.readout_genes)), np.nan, np.float32)
  has_patch = cohort.spots["has_patch"].to_numpy(bool)
  index = cohort.spots["spot_index"].to_numpy()
  for _, rows in cohort.sections():
    seen = rows[has_patch[rows]]
    if len(seen):
      blocks = {"embedding": cohort.features[f"{name}/image"][seen]}
      if "features" in stored.reads:
        blocks["features"] = corpus.feature_input[index[seen]]
      predicted[seen] = stored.predict(blocks, cohort.readout_genes)[0]
  return dataclasses.replace(cohort, readout={**cohort.readout, name: predicted})


ANCHORS = "@anchors"
"""Ends the name of a feature that is an embedding's similarity to every pathway anchor."""


def with_anchors(cohort: Cohort, name: str, params: Mapping, tables: Tables) -> Cohort:
  """The cohort with "<name>/image@anchors", "/gene@anchors" and "/fused@anchors".

  Which gene sets a spot is near to, and nothing else of what its embedding says. The cohort as it
  is where there are no gene sets.
  """
  membership = np.asarray(tables.membership)
  if not len(membership):
    return cohort
  share = tables.statistics.corpus_document_share
  anchors = np.asarray(pathways.pathway_anchors(params, membership, share))
  read = {
    f"{name}/{seen}{ANCHORS}": zero_shot.similarity(cohort.features[f"{name}/{seen}"], anchors)
    for seen in MODALITIES
  }
  read = {feature: values.astype(np.float32) for feature, values in read.items()}
  return dataclasses.replace(cohort, features={**cohort.features, **read})


def regions_of(cohort: Cohort, corpus: Corpus, feature: str) -> np.ndarray:
  """Nested regions of each section of a cohort, drawn from a feature; [level, spot], finest first.

  Regions look at the direction of features, and directions of coordinates would give wedges around
  the middle: where a feature is positions alone, spots count as all alike, and only places do.
  """
  values = cohort.features[feature]
  if modality(feature) == "position":
    values = np.ones((len(values), 1), np.float32)
  index = cohort.spots["spot_index"].to_numpy()
  return refreshed(corpus.regions, corpus.spots, index, values, corpus.region_um)[:, index]


def every_window(corpus: Corpus, decoded: bool = True) -> Iterator[dict[str, np.ndarray]]:
  """Every window of the corpus once, as it is; none of sections that are in no split."""
  return loader.windows_once(corpus, SPLITS, windows_per_batch=WINDOWS_PER_BATCH, decoded=decoded)
