"""Every choice of finetuning, as one frozen dataclass beside `hibio.configs.TrainingConfig`."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class FinetuningConfig:
  """What is learned and which parameters are trained.

  Attributes:
    task: a name in `hibio.finetuning.tasks.TASKS`.
    trainable: a name in `hibio.finetuning.trainable.RULES`.
    modality: what labels are read from: "image", "gene" or "fused".
    label: label column of the corpus that "annotation" learns.
    label_names: its classes, in the order of the head's outputs; found in the corpus.
    last_blocks: blocks at the end of each transformer that "last_blocks" trains.
    rank: of each adapter of "lora".
    alpha: adapters are scaled by alpha / rank.
  """

  task: str = "expression_mse"
  trainable: str = "lora"
  modality: str = "image"
  label: str = ""
  label_names: tuple[str, ...] = ()
  last_blocks: int = 1
  rank: int = 8
  alpha: float = 16.0

  @property
  def scale(self) -> float:
    """Factor of every adapter's product."""
    return self.alpha / self.rank
