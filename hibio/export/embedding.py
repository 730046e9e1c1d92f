"""Sections of one AnnData through a model: the order of the work, whatever they came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data_pipelines.console import Progress, say
from data_pipelines.gene_names import GeneNames
from data_pipelines.genes import GenePanel, panel_rows
from data_pipelines.problems import BadInputError
from data_pipelines.readers.annotated import raw_matrix
from data_pipelines.section import StreamedSection
from hibio.export import corpus_tables, keys, provenance, windows
from hibio.export import section as sections_
from hibio.export.results import Results
from hibio.export.section import Frozen, Prediction
from hibio.pretrained import Pretrained


@dataclasses.dataclass(frozen=True)
class Settings:
  """What to compute.

  Attributes:
    domain_spots: spots that domains aim for at each level, finest first; empty for none.
    predict_expression: also predict the expression of every gene of the panel that is there.
    gene_names: a table of names, to find genes by.
  """

  domain_spots: tuple[int, ...] = (16, 64)
  predict_expression: bool = False
  gene_names: GeneNames | None = None

  def __post_init__(self):
    if any(spots < 2 for spots in self.domain_spots):
      raise BadInputError(
        "--domain_spots", "value", f"{min(self.domain_spots)} spots", "2 or more a domain",
        "name larger domains, or none for no domains",
      )  # fmt: skip


def frozen_of(model: Pretrained, names: GeneNames | None) -> Frozen:
  """All that reading sections takes of a trained model."""
  config = model.model.config
  panel = GenePanel(tuple(model.meta["panel"]["ids"]), tuple(model.meta["panel"]["symbols"]))
  anchors = model.params["anchor_offset"].shape[0]
  keywords = config.keywords
  return Frozen(
    model=model.model,
    params=model.params,
    panel=names.on_panel(panel) if names else panel,
    tables=corpus_tables.read(
      model.workdir,
      len(panel),
      anchors,
      needs_background=keywords.background != "slide" or keywords.spatial_power > 0,
    ),
    shape=windows.Shape(model.window_spots, config.patch_px, model.patch_um, len(panel)),
    neighbours_um=config.context.radius_um,
  )


def embed(
  model: Pretrained,
  sections: Sequence[StreamedSection],
  var: pd.DataFrame,
  results: Results,
  settings: Settings,
  command: Mapping[str, Any] | None = None,
) -> float:
  """Embeds every section into `results`.

  Args:
    sections: every spot of the AnnData is in one of them.
    var: genes of the AnnData.
    command: what else `uns` should hold of how this was made.

  Returns:
    Spots a second.

  Raises:
    BadInputError: a section cannot be used.
  """
  frozen = frozen_of(model, settings.gene_names)
  if settings.gene_names:
    sections = [_renamed(section, settings.gene_names) for section in sections]
  spots, width = sum(one.num_spots for one in sections), frozen.model.config.embedding_width
  if not frozen.tables.names:
    say("embed: the checkpoint holds no gene sets: no pathway scores")
  results.add(sections_.FUSED, width, 0.0)
  for place, there in (
    (sections_.IMAGE, any(one.image is not None for one in sections)),
    (sections_.GENE, any(one.read_counts is not None for one in sections)),
  ):
    if there:
      results.add(place, width, 0.0)
  if frozen.tables.names:
    results.add(sections_.PATHWAYS, len(frozen.tables.names), np.nan)
  prediction = _prediction(frozen, var) if settings.predict_expression else None
  if prediction is not None:
    results.add(prediction.place, len(prediction.panel_rows), np.nan)

  progress = Progress("embed:", spots, "spots", every_seconds=5)
  sees = np.full(spots, keys.SEES_VALUES.index("nothing"))
  domains = np.full((len(settings.domain_spots), spots), -1, np.int32)
  domain_names: list[list[str]] = [[] for _ in settings.domain_spots]
  rows = []
  for one in sections:
    found = sections_.embed(frozen, one, results, settings.domain_spots, prediction, progress.add)
    sees[one.rows] = found.sees
    prefix = f"{one.section_id}/" if len(sections) > 1 else ""
    for level, ids in enumerate(found.domains):
      domains[level, one.rows] = len(domain_names[level]) + ids
      domain_names[level] += [f"{prefix}{number}" for number in range(int(ids.max()) + 1)]
    rows.append(found.about)
    if one.read_counts is not None:
      genes = found.about["panel_genes_found"]
      say(f"embed: {one.section_id}: {genes:,} of {len(frozen.panel):,} panel genes found")
  columns = {keys.SEES: pd.Categorical.from_codes(sees, list(keys.SEES_VALUES))}
  for level, (codes, names) in enumerate(zip(domains, domain_names, strict=True), 1):
    columns[f"{keys.DOMAIN}{level}"] = pd.Categorical.from_codes(codes, names)
  results.finish(columns, _about(model, frozen, rows, settings, prediction, command or {}))
  return progress.finish()


def _renamed(section: StreamedSection, names: GeneNames) -> StreamedSection:
  symbols = names.symbols(section.gene_ids, section.gene_symbols)
  return dataclasses.replace(section, gene_symbols=np.array(symbols, dtype=object))


def _prediction(frozen: Frozen, var: pd.DataFrame) -> Prediction:
  if not len(var):
    return Prediction(("obsm", keys.PREDICTED), np.arange(len(frozen.panel)))
  columns, genes = raw_matrix.genes_of(var, Path("var"))
  rows = np.full(len(var), -1)
  rows[columns] = panel_rows(genes.gene_ids, genes.gene_symbols, frozen.panel)
  return Prediction(("layers", keys.PREDICTED), rows)


def _about(model, frozen: Frozen, rows, settings: Settings, prediction, command) -> dict[str, Any]:
  in_obsm = prediction is not None and prediction.place[0] == "obsm"
  return provenance.about(
    checkpoint={
      "name": model.workdir.name,
      "step": int(model.meta["step"]),
      "panel_hash": model.panel_hash,
      "panel_genes": len(frozen.panel),
      "corpus_fingerprint": model.meta["corpus"]["fingerprint"],
      "patch_um": frozen.shape.patch_um,
      "patch_px": frozen.shape.patch_px,
      "window_spots": frozen.shape.window_spots,
    },
    sections=rows,
    settings={
      "domain_spots": settings.domain_spots,
      "predict_expression": settings.predict_expression,
      **command,
    },
    pathways=frozen.tables.names,
    predicted_genes=frozen.panel.symbols if in_obsm else None,
  )
