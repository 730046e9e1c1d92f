"""A work directory of pretraining or finetuning -> a frozen model, in one line."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import jax

from hibio import configs
from hibio.finetuning import parameters
from hibio.finetuning.config import FinetuningConfig
from hibio.model import HiBio
from hibio.training.checkpoints import read_params


@dataclasses.dataclass(frozen=True)
class Pretrained:
  """A trained model and where it comes from.

  Attributes:
    workdir: the work directory it was loaded from.
    model: the module; `model.apply({"params": params}, ...)`.
    params: its parameters, a plain nested dictionary; adapters are merged into them.
    meta: config, gene panel, training donors and corpus of the run. The training donors are those
      of every run that the parameters have gone through.
    heads: task -> what reads it off an embedding, with `hibio.finetuning.heads.read`.
  """

  workdir: Path
  model: HiBio
  params: Any
  meta: dict[str, Any]
  heads: Any = dataclasses.field(default_factory=dict)

  @property
  def panel_hash(self) -> str:
    return self.meta["panel"]["hash"]

  @property
  def train_donors(self) -> list[str]:
    return self.meta["corpus"]["splits"]["train"]

  @property
  def seed(self) -> int:
    return self.meta["config"]["training"]["seed"]

  def describe(self) -> dict[str, Any]:
    """What a result needs to say about the model it belongs to."""
    return {
      "step": self.meta["step"],
      "num_parameters": sum(leaf.size for leaf in jax.tree.leaves(self.params)),
      "config": self.meta["config"],
      "heads": sorted(self.heads),
      "panel_hash": self.panel_hash,
      "corpus": self.meta["corpus"],
    }


def load(workdir: str | os.PathLike) -> Pretrained:
  """The newest whole checkpoint of a work directory; reads JSON and arrays only, runs no config.

  Raises:
    BadInputError: no work directory, or no checkpoint in it that can be believed.
  """
  params, meta = read_params(Path(workdir))
  heads = {}
  if "finetuning" in meta["config"]:
    heads = parameters.heads(params)
    params = parameters.plain(
      params, configs.from_dict(FinetuningConfig, meta["config"]["finetuning"])
    )
  config = configs.from_dict(configs.ModelConfig, meta["config"]["model"])
  model = HiBio(config, len(meta["panel"]["ids"]))
  return Pretrained(Path(workdir), model, params, meta, heads)
