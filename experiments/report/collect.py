"""A frozen model, its corpus and the embedded cohort -> what a report shows beside the rows."""

from __future__ import annotations

import sys

import numpy as np
from threadpoolctl import threadpool_limits

from data_pipelines.loading import loader
from data_pipelines.loading.corpus import Corpus
from experiments import gather, inputs
from experiments.report.annotation_maps import annotation_maps
from experiments.report.domain_maps import domain_maps, region_maps
from experiments.report.exhibits import Absent, Exhibits
from experiments.report.expression_maps import expression_maps
from experiments.report.pathway_maps import pathway_maps
from experiments.report.retrieval_examples import EXPLAINED, retrieval_examples
from experiments.report.shown_sections import ShownSections
from hibio.batch import Batch, Tables
from hibio.embedding import Forward
from hibio.objectives.temperature import inverse_temperature
from hibio.pretrained import Pretrained
from hibio.tasks.cohort import Cohort
from hibio.tasks.folds import folds_of
from hibio.training import metrics


def exhibits(
  corpus: Corpus, cohort: Cohort, model: Pretrained, forward: Forward, label: str = ""
) -> Exhibits:
  """Everything that can be shown of the held-out donors.

  Args:
    cohort: every spot, with the features "hibio/image", "hibio/gene" and "hibio/fused"; baselines
      among its features are drawn too.
    forward: the frozen model, the one that the cohort was embedded with: it is compiled already.
    label: the label column to draw; "" for none.
  """
  tables = inputs.tables_of(corpus)
  curves = tuple(metrics.read(model.workdir))
  both = cohort.seen_by("hibio/fused")
  held_out = both.split("test")
  if not len(held_out.spots):
    why = "no held-out spot has both an image and counts"
    return Exhibits(curves=curves, absent=(Absent("retrieval", "Tissue", why),))
  shown = ShownSections(corpus, held_out, label)
  folds = folds_of(both, list(dict.fromkeys(held_out.spots["donor_id"])))
  anchors, scale = _anchors(model, forward, corpus, tables)
  # Everything here is small: more than one thread would wait for each other, not work.
  with threadpool_limits(limits=1):
    _say("domains and regions")
    domains = list(domain_maps(held_out, shown, label))
    regions = list(region_maps(held_out, shown, tuple(corpus.manifest["region_spots"])))
    _say("labels called by a probe")
    annotated, confusions, no_annotation = annotation_maps(both, folds, shown, label)
    _say("predicted genes")
    expressed, no_expression = expression_maps(both, folds, shown, corpus.panel.symbols)
  _say("pathways")
  active, no_pathways = pathway_maps(held_out, shown, corpus, tables, anchors, scale)
  _say("retrieved spots")
  retrieved = retrieval_examples(held_out, corpus, tables, model.model.config.keywords)
  return Exhibits(
    tissues=shown.tissues(),
    map_rows=(*domains, *regions, *annotated, *expressed, *active),
    confusions=tuple(confusions),
    retrievals=retrieved,
    retrievals_explained=EXPLAINED,
    curves=curves,
    absent=(*no_annotation, *no_expression, *no_pathways),
  )


def _say(what: str) -> None:
  print(f"report: {what}", file=sys.stderr, flush=True)


def _anchors(
  model: Pretrained, forward: Forward, corpus: Corpus, tables: Tables
) -> tuple[np.ndarray, float]:
  """The pathway anchors and their inverse temperature; both are the same for every batch."""
  arrays = next(
    iter(loader.windows_once(corpus, inputs.SPLITS, windows_per_batch=gather.WINDOWS_PER_BATCH))
  )
  outputs = forward(model.params, Batch(**arrays), tables)
  return np.asarray(outputs.anchors), float(inverse_temperature(outputs.anchor_log_scale))
