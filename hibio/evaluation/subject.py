"""What every explainer reads: a model, a corpus, all counts, the embeddings of held-out spots."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from data_pipelines.console import Parts
from data_pipelines.loading import loader
from data_pipelines.loading.corpus import Corpus
from data_pipelines.problems import BadInputError
from hibio import corpora, forward, pretrained
from hibio.batch import Tables
from hibio.evaluation import gather, leakage
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.keyword_lists import Housekeeping
from hibio.forward import spot_vectors

MOST_DRAWN = 2
"""Sections drawn where nobody names them."""


@dataclasses.dataclass(frozen=True)
class Subject:
  """One explanation.

  Attributes:
    model: the checkpoint.
    corpus: the tissue it is explained on.
    tables: of the corpus.
    params: "hibio" and "untrained" -> parameters over the corpus' gene sets.
    counted: every spot of the corpus with its counts, for what needs no model.
    held_out: the spots of held-out donors, with "<name>/image", "/gene" and "/fused".
    drawn: sections that figures show; all of held-out donors.
    housekeeping: which genes are.
    banner: "LEAK: ..." where a held-out donor was trained on; else empty.
  """

  model: pretrained.Pretrained
  corpus: Corpus
  tables: Tables
  params: Mapping[str, Any]
  counted: Cohort
  held_out: Cohort
  drawn: tuple[str, ...]
  housekeeping: Housekeeping
  banner: str

  @property
  def donor_of(self) -> dict[str, str]:
    return {s["section_id"]: s["donor_id"] for s in self.corpus.manifest["sections"]}

  @property
  def row_of(self) -> dict[str, int]:
    """Section -> its row in the tables."""
    return {s["section_id"]: row for row, s in enumerate(self.corpus.manifest["sections"])}

  @property
  def split(self) -> str:
    return "donors " + ", ".join(dict.fromkeys(self.held_out.spots["donor_id"]))


def gathered(
  model: pretrained.Pretrained,
  corpus: Corpus,
  sections: Sequence[str],
  housekeeping: Housekeeping,
  parts: Parts,
) -> Subject:
  """Counts of everything, and both models' embeddings of the donors that are explained.

  Args:
    sections: only these are explained and drawn; by default all of the corpus' test donors, or of
      all donors where it has none.

  Raises:
    BadInputError: another gene panel than the checkpoint's, or a section that does not exist.
  """
  explained = _explained(model, corpus, sections)
  tables, amount = corpora.tables_for(model, corpus), f"{len(corpus.spots):,} spots"
  with parts.part("counts", amount):
    counted = gather.measured(corpus, of_patches=lambda patches, um_per_px: {})
  untrained = forward.initial_params(model.model, corpora.first_window(corpus), tables, model.seed)
  params = {"hibio": corpora.params_over(model, corpus), "untrained": untrained}
  params = jax.device_put(params, jax.devices()[0])
  kept = counted.spots["section_id"].isin(explained).to_numpy()
  held_out, frozen = counted.subset(kept), forward.frozen(model.model)
  for name, of in params.items():
    with parts.part(f"embeddings of {name}", f"{kept.sum():,} spots"):
      held_out = _with_embeddings(held_out, corpus, name, frozen, of, tables)
  donors = tuple(dict.fromkeys(held_out.spots["donor_id"]))
  leaks = leakage.leaks(model.meta, corpus.manifest, donors)
  return Subject(
    model=model,
    corpus=corpus,
    tables=tables,
    params=params,
    counted=counted,
    held_out=held_out,
    drawn=tuple(explained if sections else explained[:MOST_DRAWN]),
    housekeeping=housekeeping,
    banner=leakage.refused(leaks, corpus.path, allow_leak=True),
  )


def _explained(
  model: pretrained.Pretrained, corpus: Corpus, sections: Sequence[str]
) -> tuple[str, ...]:
  if model.panel_hash != corpus.panel.hash:
    raise BadInputError(
      corpus.path, "gene panel", corpus.panel.hash, f"{model.panel_hash}, the checkpoint's",
      f"prepare the corpus with --panel={model.workdir}/panel.tsv",
    )  # fmt: skip
  every = {s["section_id"]: s["split"] for s in corpus.manifest["sections"]}
  for name in sections:
    if name not in every:
      raise BadInputError(
        "--sections", "section", repr(name), f"some of {', '.join(every)}", "correct the name"
      )
  test = tuple(name for name, split in every.items() if split == "test")
  return tuple(sections) or test or tuple(every)


def _with_embeddings(
  cohort: Cohort, corpus: Corpus, name: str, frozen, params, tables: Tables
) -> Cohort:
  """The cohort with a model's embeddings; only splits in which it has spots are read."""
  splits = tuple(dict.fromkeys(cohort.spots["split"]))
  windows = loader.windows_once(corpus, splits, windows_per_batch=gather.WINDOWS_PER_BATCH)
  found = spot_vectors(frozen, params, tables, windows)
  rows = np.searchsorted(found.spot_index, cohort.spots["spot_index"].to_numpy())
  image, gene = found.image[rows], found.gene[rows]
  seen = {"image": image, "gene": gene, "fused": np.concatenate([image, gene], axis=1)}
  added = {f"{name}/{modality}": values for modality, values in seen.items()}
  return dataclasses.replace(cohort, features={**cohort.features, **added})
