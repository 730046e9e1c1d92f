"""What a result says of where it comes from: `uns["hibio"]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from data_pipelines.files import versions
from hibio.export import keys


def about(
  checkpoint: Mapping[str, Any],
  sections: Sequence[Mapping[str, Any]],
  settings: Mapping[str, Any],
  pathways: Sequence[str],
  predicted_genes: Sequence[str] | None,
) -> dict[str, Any]:
  """Plain values, arrays and one table, so that any version of anndata can store it.

  Args:
    checkpoint: name, step, panel and corpus of the model.
    sections: one row a section.
    settings: what was asked for; None is left out.
    predicted_genes: columns of `obsm["hibio_predicted"]`, if that is where they are.
  """
  table = pd.DataFrame(list(sections)).set_index("section")
  table.index = table.index.astype(str)
  text = {
    keys.FUSED: "unit-norm mean of the image and gene embeddings that a spot has itself; where it "
    "has neither, of those read from its neighbours",
    keys.SEES: ", ".join(keys.SEES_VALUES),
    "unknown": "a row of zeros among embeddings, of NaN among scores: nothing is known of the spot",
  }
  found: dict[str, Any] = {
    "checkpoint": dict(checkpoint),
    "versions": versions(),
    "settings": {name: _plain(value) for name, value in settings.items() if value is not None},
    "sections": table,
    "reads": text,
  }
  if pathways:
    found["pathways"] = np.array(list(pathways), dtype=object)
    text[keys.PATHWAYS] = (
      "cosine with the anchor of each of uns['hibio']['pathways'], from what column read_from of "
      "uns['hibio']['sections'] says"
    )
  else:
    text[keys.PATHWAYS] = "none: the checkpoint holds no gene sets"
  if settings.get("predict_expression"):
    text[keys.PREDICTED] = (
      "expression standardised in its section (mean 0, standard deviation 1 of log1p of counts per "
      "10,000), read off the embedding that column read_from names; NaN for genes outside the panel"
    )
  if predicted_genes is not None:
    found["predicted_genes"] = np.array(list(predicted_genes), dtype=object)
  return found


def _plain(value: Any) -> Any:
  if isinstance(value, tuple | list):
    return np.array(value)
  return value if isinstance(value, bool | int | float | str) else str(value)
