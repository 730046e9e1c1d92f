"""Which genes and which gene sets a corpus is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from data_pipelines.alignment import map_onto
from data_pipelines.console import counted, say
from data_pipelines.gene_names import GeneNames
from data_pipelines.gene_sets import Pathways
from data_pipelines.genes import GenePanel, GeneSummary, choose_panel, extended
from data_pipelines.preparation.options import PrepareOptions
from data_pipelines.preparation.reading import Summary
from data_pipelines.problems import BadInputError

_MANY_SETS = 8_000


def panel_of(
  summaries: Mapping[str, Summary],
  training: Sequence[str],
  names: GeneNames | None,
  options: PrepareOptions,
) -> GenePanel:
  """The genes that the options ask for: given, or chosen; behind those of another panel or not.

  Args:
    summaries: of every section.
    training: names of those that are trained on.
    names: table that genes are renamed by.

  Raises:
    BadInputError: a panel that cannot be read or extended, having hardly a gene in common with the
      sections; or no training section to choose genes from.
  """
  old = GenePanel.load(options.extend_panel) if options.extend_panel else None
  if options.panel:
    panel = GenePanel.load(options.panel)
  else:
    panel = _chosen_panel([summaries[name].genes for name in training], options)
  panel = names.on_panel(panel) if names else panel
  if old is None:
    return panel
  # Refuses a panel of other genes.
  map_onto("--extend_panel", np.array(panel.ids), np.array(panel.symbols), old)
  return extended(old, panel)


def _chosen_panel(training: Sequence[GeneSummary], options: PrepareOptions) -> GenePanel:
  if not training:
    raise BadInputError(
      "--test_donors",
      "training donors",
      "none",
      "at least one, to choose the genes from",
      "hold out fewer donors, or give the genes of another corpus with --panel=panel.tsv",
    )
  return choose_panel(
    training, min_document_share=options.min_document_share, max_genes=options.max_genes
  )


def pathways_of(panel: GenePanel, options: PrepareOptions) -> Pathways:
  """The gene sets that the options name; none, and a word of it, where they name none."""
  if not options.gene_sets:
    say("prepare: no --gene_sets: pathways cannot be learned from this corpus")
    return Pathways.none(panel)
  sets = Pathways.read(options.gene_sets, panel)
  if left_out := [f"{number:,} {reason}" for reason, number in sets.about["dropped"].items()]:
    say(f"prepare: {counted(len(sets.names), 'gene sets')}; left out: {', '.join(left_out)}")
  if (number := len(sets.names)) > _MANY_SETS:
    say(
      f"prepare: {number:,} gene sets: training compares every two of them, which takes about"
      f" {number**2 * 4 / 1e9:.1f} GB; one collection, such as Reactome, takes far less"
    )
  return sets
