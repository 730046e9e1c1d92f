"""A checkpoint as what reads sections that it has never seen."""

from __future__ import annotations

import dataclasses
from typing import Any

from data_pipelines.gene_names import GeneNames
from data_pipelines.genes import GenePanel
from hibio.export import windows
from hibio.export.counts import CorpusTables
from hibio.features import Encoder
from hibio.model import HiBio
from hibio.pretrained import Pretrained
from hibio.readout import Readout


@dataclasses.dataclass(frozen=True)
class Reader:
  """A trained model with all that reading a section takes.

  Attributes:
    model: the module.
    params: its parameters.
    panel: the genes it reads, with symbols to find them by.
    tables: of the corpus it was trained on.
    shape: of the windows it was trained on.
    neighbours_um: how far it looks around a spot.
    encoder: what reads slides for it; None where it reads patches itself, or there is no slide.
    readout: what expression is predicted by from images, where one is stored with the checkpoint.
  """

  model: HiBio
  params: Any
  panel: GenePanel
  tables: CorpusTables
  shape: windows.Shape
  neighbours_um: float
  encoder: Encoder | None = None
  readout: Readout | None = None

  @classmethod
  def of(cls, checkpoint: Pretrained, gene_names: GeneNames | None = None) -> Reader:
    """That of a checkpoint.

    Args:
      gene_names: a table of names, to find genes of the panel by.

    Raises:
      BadInputError: tables beside the checkpoint are missing, damaged, or of another model.
    """
    config = checkpoint.model.config
    panel = checkpoint.meta["panel"]
    panel = GenePanel(tuple(panel["ids"]), tuple(panel["symbols"]))
    encoder = checkpoint.features
    anchors = checkpoint.params["anchor_offset"].shape[0]
    return cls(
      model=checkpoint.model,
      params=checkpoint.params,
      panel=gene_names.on_panel(panel) if gene_names else panel,
      tables=CorpusTables.read(checkpoint.workdir, len(panel), anchors),
      shape=windows.Shape(
        window_spots=checkpoint.window_spots,
        patch_px=0 if encoder else config.patch_px,
        patch_um=checkpoint.patch_um,
        num_genes=len(panel),
        num_features=2 * encoder["width"] if encoder else 0,
      ),
      neighbours_um=config.context.radius_um,
      readout=checkpoint.readout,
    )
