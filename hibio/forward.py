"""The model as plain functions of (params, batch, tables): one for training, one frozen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from data_pipelines.problems import BadInputError
from hibio.augmentation import augment
from hibio.batch import Batch, Tables
from hibio.configs import AugmentationConfig, ObjectiveConfig
from hibio.model import HiBio
from hibio.objectives.base import ITEMS
from hibio.objectives.total import total
from hibio.outputs import OF_NO_WINDOW, Outputs


def for_training(
  model: HiBio, augmentation: AugmentationConfig, parts: int = 1
) -> Callable[..., Outputs]:
  """(params, batch, tables, key) -> Outputs of the augmented batch, with all that is hidden.

  Args:
    parts: of the batch that pass through the model one after the other; see `in_parts`.
  """

  def forward(params, batch: Batch, tables: Tables, key: jax.Array) -> Outputs:
    augment_key, context_key = jax.random.split(key)
    batch = augment(augment_key, batch, augmentation)

    def apply(windows: Batch, key: jax.Array) -> Outputs:
      rngs = {"context": key}
      statistics, membership = tables.statistics, tables.membership
      return model.apply({"params": params}, windows, statistics, membership, train=True, rngs=rngs)

    return apply(batch, context_key) if parts == 1 else in_parts(apply, batch, context_key, parts)

  return forward


def in_parts(
  apply: Callable[[Batch, jax.Array], Outputs], batch: Batch, key: jax.Array, parts: int
) -> Outputs:
  """What `apply` gives for the windows of a batch, in the memory of one of its parts.

  Embeddings and readouts of all parts are kept, and nothing else: the loss sees all windows at
  once, so that every spot is told from all others, and the gradient is exact. It costs the model's
  way forward a second time. The mean that `Centring` takes away is that of the part.

  Args:
    apply: (windows, key) -> outputs.

  Raises:
    BadInputError: parts of unequal size.

  References:
    Gao et al. 2021, arXiv:2101.06983 (GradCache).
  """
  windows = len(batch.spot_mask)
  if windows % parts:
    raise BadInputError(
      "config", "training.accumulation", f"{parts} parts of {windows} windows",
      "parts of equal size", "change it, or training.windows_per_batch",
    )  # fmt: skip
  # Plain leaves go through the scan: parts of a batch have an axis more than a batch. The windows
  # of a part lie far apart: each device that holds some of them has a share of every part.
  leaves, of_batch = jax.tree.flatten(batch)
  split = [leaf.reshape(-1, parts, *leaf.shape[1:]).swapaxes(0, 1) for leaf in leaves]

  of_found: list = []

  def of_part(number: jax.Array, leaves: list[jax.Array]):
    outputs = apply(jax.tree.unflatten(of_batch, leaves), jax.random.fold_in(key, number))
    # What is the model's own, and the same in all parts, gets the axis that the others have.
    found = {
      name: leaf[None] if name in OF_NO_WINDOW else leaf for name, leaf in vars(outputs).items()
    }
    leaves, structure = jax.tree.flatten(found)
    of_found[:] = [structure]
    return number + 1, leaves

  _, leaves = jax.lax.scan(jax.checkpoint(of_part), jnp.zeros((), jnp.int32), split)
  joined = [leaf.swapaxes(0, 1).reshape(-1, *leaf.shape[2:]) for leaf in leaves]
  found = jax.tree.unflatten(of_found[0], joined)
  return Outputs(
    **{name: leaf[0] if name in OF_NO_WINDOW else leaf for name, leaf in found.items()}
  )


def frozen(model: HiBio) -> Callable[..., Outputs]:
  """(params, batch, tables) -> Outputs, jitted, nothing random."""

  @jax.jit
  def forward(params, batch: Batch, tables: Tables) -> Outputs:
    return model.apply({"params": params}, batch, tables.statistics, tables.membership)

  return forward


def initial_params(model: HiBio, batch: Batch, tables: Tables, seed: int):
  """The untrained model's parameters, a plain nested dictionary."""
  one = jax.tree.map(lambda leaf: jnp.asarray(leaf)[:1], batch)
  # All as arguments and no constants: what is compiled, and kept on disk, serves other tables too.
  init = jax.jit(model.init)
  return init(jax.random.key(seed), one, tables.statistics, tables.membership)["params"]


def loss(
  config: ObjectiveConfig, shuffle_pairs: bool, asked: Collection[str] | None = None
) -> Callable[..., tuple[jax.Array, dict]]:
  """(outputs, batch, tables, weights, key) -> (loss, metrics).

  With `shuffle_pairs` every image is paired with the profile of a spot drawn at random: the control
  in which the spot objective must stay at chance.

  Args:
    asked: names of the objectives that are computed, by default all.
  """

  def run(outputs: Outputs, batch: Batch, tables: Tables, weights: dict, key: jax.Array):
    shuffle = jax.random.permutation(key, batch.spot_mask.size) if shuffle_pairs else None
    return total(outputs, batch, tables, config, weights, shuffle, asked)

  return run


def measure(
  total: Callable[..., tuple[jax.Array, dict]], names: Sequence[str] | None = None
) -> Callable[..., dict[str, jax.Array]]:
  """(outputs, batch, tables) -> the metrics of a loss such as `loss` gives, jitted.

  Args:
    names: of the metrics that are wanted, with their items, by default all; what is not wanted is
      not compiled.
  """

  @jax.jit
  def measured(outputs, batch: Batch, tables: Tables) -> dict[str, jax.Array]:
    # Tables as an argument: as constants they would be computed with while compiling.
    metrics = total(outputs, batch, tables, {}, jax.random.key(0))[1]
    wanted = metrics if names is None else [one for name in names for one in (name, ITEMS + name)]
    return {name: metrics[name] for name in wanted if name in metrics}

  return measured


Forward = Callable[..., Outputs]
"""(params, batch, tables) -> Outputs, jitted."""


@dataclasses.dataclass(frozen=True)
class SpotVectors:
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


def spot_vectors(
  forward: Forward,
  params,
  tables: Tables,
  batches: Iterable[Mapping[str, np.ndarray]],
  readout_genes: np.ndarray | None = None,
) -> SpotVectors:
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
  return SpotVectors(index[order], image[order], gene[order], readout[order])
