"""A panel with new genes behind the old ones: a model that knows the old ones keeps them."""

from __future__ import annotations

from data_pipelines.genes import GenePanel, is_ensembl


def extended(old: GenePanel, chosen: GenePanel) -> GenePanel:
  """The old panel, as it is, and behind it the genes of `chosen` that it does not hold.

  A gene is the same as an old one if it has its Ensembl id, or its symbol where one of the two has
  no Ensembl id.
  """
  by_id, by_symbol = set(old.ids), dict(zip(old.symbols, is_ensembl(old.ids), strict=True))
  new = [
    (id_, symbol)
    for id_, symbol, ensembl in zip(chosen.ids, chosen.symbols, is_ensembl(chosen.ids), strict=True)
    if id_ not in by_id and (symbol not in by_symbol or (ensembl and by_symbol[symbol]))
  ]
  return GenePanel(
    (*old.ids, *(id_ for id_, _ in new)), (*old.symbols, *(symbol for _, symbol in new))
  )
