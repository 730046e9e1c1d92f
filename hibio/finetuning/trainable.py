"""Which parameters are trained: one rule each, from a parameter's path to all, none or some rows.

What a rule leaves out stays bit for bit what it was, and costs no moments. Parts of the model that
the task does not read are left out by every rule: decay alone would move them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.problems import BadInputError
from hibio import encoders
from hibio.configs import ModelConfig
from hibio.encoders.base import Encoder
from hibio.nn.centring import TRACKED
from hibio.training.optimizer import Trained, rows

Part = bool | np.ndarray
"""True, False, or an array of bools: which of a leaf's leading rows are trained."""

TOWERS: Mapping[str, tuple[str, ...]] = {
  "image": ("image", "project_image", "context_image"),
  "gene": ("gene", "profile", "gene_table", "project_gene", "context_gene", "neighbourhood"),
}
"""Parameters between what is put in and the embedding of each modality."""

GENE_TABLES = ("gene_table/embedding", "gene_bias")
"""Parameters with a row a gene."""


@dataclasses.dataclass(frozen=True)
class Scope:
  """What rules need to know beside a parameter's path.

  Attributes:
    encoders: of each modality, by the name of its subtree.
    last_blocks: those at its end that are trained by `last_blocks`.
  """

  encoders: Mapping[str, Encoder]
  last_blocks: int = 1


def full(path: str, scope: Scope) -> Part:
  """Everything."""
  del path, scope
  return True


def last_blocks(path: str, scope: Scope) -> Part:
  """The last blocks of each encoder and what lies behind them, as the encoder itself tells them."""
  tower, _, inside = path.partition("/")
  encoder = scope.encoders.get(tower)
  return encoder is not None and encoder.in_last_blocks(inside, scope.last_blocks)


def none(path: str, scope: Scope) -> Part:
  """Nothing of the model itself: only what finetuning adds to it."""
  del path, scope
  return False


RULES: dict[str, Callable[[str, Scope], Part]] = {
  "full": full,
  "last_blocks": last_blocks,
  "lora": none,
  "head": none,
}
"""Which of the model's own parameters are trained; heads and adapters always are."""

ADAPTED = ("lora",)
"""Rules under which the model has adapters."""


def check(name: str, model: ModelConfig, blocks: int) -> None:
  """Refuses a rule that does not exist, or more blocks than there are.

  Raises:
    BadInputError: names the key.
  """
  if name not in RULES:
    raise BadInputError(
      "config", "finetuning.trainable", repr(name), f"one of {', '.join(RULES)}", "correct the name"
    )
  most = min(encoder.num_blocks for encoder in encoders.of(model).values())
  if name == "last_blocks" and not 1 <= blocks <= most:
    raise BadInputError(
      "config", "finetuning.last_blocks", str(blocks), f"1 to {most}, the blocks of an encoder",
      "lower it, or train all with --config.finetuning.trainable=full",
    )  # fmt: skip


def trained_by(
  name: str,
  scope: Scope,
  *,
  modalities: Sequence[str] | None,
  follows_means: bool,
  num_old_genes: int,
) -> Trained:
  """The parameters of {"model", "heads", "adapters"} that a rule trains.

  Rows of genes that are new to the model are trained by every rule, where the task reads them.

  Args:
    modalities: whose towers the task reads; None for the whole model.
    follows_means: the tracked means follow the batches'; otherwise they stay.
    num_old_genes: genes of the panel that the model has been trained on, the first ones.
  """
  read = None if modalities is None else {name for one in modalities for name in TOWERS[one]}

  def of_model(path: str, shape: Sequence[int]) -> Part:
    if path.rpartition("/")[2] == TRACKED:
      return follows_means
    if read is not None and path.partition("/")[0] not in read:
      return False
    part = RULES[name](path, scope)
    if path in GENE_TABLES and part is False and shape[0] > num_old_genes:
      return np.arange(shape[0]) >= num_old_genes
    return part

  def trained(params: Any) -> Any:
    def leaf(path, value):
      group, _, path = jax.tree_util.keystr(path, simple=True, separator="/").partition("/")
      return of_model(path, value.shape) if group == "model" else True

    return jax.tree_util.tree_map_with_path(leaf, params)

  return trained


def in_pretraining(model: ModelConfig) -> Trained:
  """The parameters of the model that pretraining trains: all but what encoders leave as it is."""
  parts = encoders.of(model)

  def trained(params: Any) -> Any:
    def leaf(path, _):
      tower, _, inside = jax.tree_util.keystr(path, simple=True, separator="/").partition("/")
      return parts[tower].trained(inside) if tower in parts else True

    return jax.tree_util.tree_map_with_path(leaf, params)

  return trained


def holding_still(forward: Callable[..., Any], trained: Trained | None) -> Callable[..., Any]:
  """The same function of parameters and more; see `held_still`. None: all are trained."""
  if trained is None:
    return forward
  return lambda params, *rest: forward(held_still(params, trained), *rest)


def held_still(params: Any, trained: Trained) -> Any:
  """The same parameters; no gradient is computed for those that are not trained."""

  def leaf(value, part):
    if part is True:
      return value
    still = jax.lax.stop_gradient(value)
    return still if part is False else jnp.where(rows(part, value), value, still)

  return jax.tree.map(leaf, params, trained(params))
