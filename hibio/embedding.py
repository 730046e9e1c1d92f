"""A trained model over a whole corpus, batch by batch: what finetuning, tasks and regions read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from jaxtyping import Float, Int

from hibio.batch import Batch, Tables
from hibio.outputs import Outputs

Forward = Callable[..., Outputs]
"""(params, batch, tables) -> Outputs, jitted."""


@dataclasses.dataclass(frozen=True)
class Embedded:
  """Embeddings of the spots that were asked for, in the order of `spot_index`.

  Attributes:
    spot_index: rows of the corpus.
    image: unit-norm image embeddings.
    gene: unit-norm gene embeddings.
    readout: expression standardised in its section, read from the image embedding, for the genes
      that were asked for.
  """

  spot_index: Int[np.ndarray, " spot"]
  image: Float[np.ndarray, "spot width"]
  gene: Float[np.ndarray, "spot width"]
  readout: Float[np.ndarray, "spot gene"]


def embed(
  forward: Forward,
  params,
  tables: Tables,
  batches: Iterable[Mapping[str, np.ndarray]],
  readout_genes: np.ndarray | None = None,
) -> Embedded:
  """Embeds every real spot of `batches` (dictionaries with the fields of `Batch`).

  Args:
    readout_genes: panel rows to keep of the readout; none by default, they are wide.
  """
  genes = np.zeros(0, int) if readout_genes is None else readout_genes
  parts = []
  for arrays in batches:
    batch = Batch(**arrays)
    outputs = forward(params, batch, tables)
    real = np.asarray(batch.spot_mask)
    parts.append(
      (
        np.asarray(batch.spot_index)[real],
        np.asarray(outputs.image)[real],
        np.asarray(outputs.gene)[real],
        np.asarray(outputs.predicted_from_image)[real][:, genes],
      )
    )
  index, image, gene, readout = (np.concatenate(part) for part in zip(*parts, strict=True))
  order = np.argsort(index, kind="stable")
  return Embedded(index[order], image[order], gene[order], readout[order])
