"""One evaluation -> what a report shows beside the rows."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from data_pipelines.console import say
from hibio.evaluation.setting import MODEL, Setting
from hibio.nn.temperature import inverse_temperature
from hibio.pathways import pathway_anchors
from hibio.report.exhibits import Absent, Exhibits
from hibio.report.label_maps import annotation_maps, domain_maps, region_maps
from hibio.report.retrieval_examples import EXPLAINED, retrieval_examples
from hibio.report.shown_sections import ShownSections
from hibio.report.value_maps import expression_maps, pathway_maps
from hibio.training import metrics


def exhibits(setting: Setting) -> Exhibits:
  """Everything that can be shown of the donors that are scored."""
  corpus, tables = setting.corpus, setting.tables
  label = setting.labels[-1] if setting.labels else ""
  scored, both = setting.scored, setting.scored.seen_by("hibio/fused")
  shown = ShownSections(corpus, scored, label)
  # Everything here is small: more than one thread would wait for each other, not work.
  with threadpool_limits(limits=1):
    say("report: domains and regions")
    domains = list(domain_maps(scored, shown, label))
    regions = list(region_maps(setting, shown))
    say("report: labels called by a probe")
    annotated, confusions, no_annotation = annotation_maps(setting, shown, label)
    say("report: predicted genes")
    expressed, no_expression = expression_maps(setting, shown)
  active, no_pathways, retrieved = [], [], ()
  if len(both.spots):
    say("report: pathways and retrieved spots")
    anchors, scale = _anchors(setting)
    active, no_pathways = pathway_maps(both, shown, corpus, tables, anchors, scale)
    retrieved = retrieval_examples(both, corpus, tables, setting.model.model.config.keywords)
  else:
    why = "no scored spot has both an image and counts"
    no_pathways = [Absent("retrieval", "Patches and what they find", why)]
  return Exhibits(
    tissues=shown.tissues(),
    map_rows=(*domains, *regions, *annotated, *expressed, *active),
    confusions=tuple(confusions),
    retrievals=retrieved,
    retrievals_explained=EXPLAINED,
    curves=tuple(metrics.read(setting.model.workdir)),
    absent=(*no_annotation, *no_expression, *no_pathways),
  )


def _anchors(setting: Setting) -> tuple[np.ndarray, float]:
  """The pathway anchors and their inverse temperature."""
  params = setting.method(MODEL).params
  share = setting.tables.statistics.corpus_document_share
  anchors = pathway_anchors(params, setting.corpus.membership, share)
  return np.asarray(anchors), float(inverse_temperature(params["anchor_log_scale"]))
