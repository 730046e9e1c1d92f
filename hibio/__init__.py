"""HiBio-ST: one embedding space for H&E patches and gene expression of tissue spots."""

from __future__ import annotations

import os


def load(workdir: str | os.PathLike):
  """The trained model of a work directory: `hibio.load("runs/hibio").embed(adata)`.

  Raises:
    BadInputError: no work directory, or no checkpoint in it that can be believed.
  """
  from hibio import pretrained  # JAX and the readers of checkpoints take seconds to import

  return pretrained.load(workdir)
