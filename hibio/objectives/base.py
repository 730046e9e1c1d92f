"""What an objective is: a value with a name, a stage, a weight and a pure function of arrays.

The function says what each item of a batch is worth and which items count. Means, weights and the
values that guessing gives are taken here, once for all objectives.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hibio.masked import masked_mean
from hibio.objectives.inputs import Inputs


class Values(NamedTuple):
  """The loss of each item of a batch: of each pair, spot, pathway, region or edge.

  Attributes:
    loss: of each item.
    mask: items that count.
    chance: what guessing gives for each item; None where that is not known.
  """

  loss: Float[Array, "*items"]
  mask: Bool[Array, "*items"]
  chance: Float[Array, "*items"] | None = None


ITEMS = "items/"
"""Before the name of a metric: how many items of the batch it is a mean of. Of none it is 0 and
says nothing; a mean over batches is weighted by them."""

Combine = Callable[[Sequence[Float[Array, ""]], Sequence[Float[Array, ""]]], Float[Array, ""]]
"""(means of the views of an objective, number of items of each) -> one number."""


def mean(values: Sequence[Float[Array, ""]], items: Sequence[Float[Array, ""]]) -> Array:
  """The mean over the views that have an item; 0 where none has."""
  telling = sum(((count > 0).astype(jnp.float32) for count in items), jnp.float32(0))
  return sum(values, jnp.float32(0)) / jnp.maximum(telling, 1.0)


def added(values: Sequence[Float[Array, ""]], items: Sequence[Float[Array, ""]]) -> Array:
  """The sum over the views; one without an item is 0."""
  del items
  return sum(values, jnp.float32(0))


class Verdict(NamedTuple):
  """An objective over a batch.

  Attributes:
    loss: 0 where there is no item.
    chance: what guessing gives; None where that is not known.
    items: that count, of all views.
  """

  loss: Float[Array, ""]
  chance: Float[Array, ""] | None
  items: Float[Array, ""]


@dataclasses.dataclass(frozen=True)
class Objective:
  """One term of the loss.

  Attributes:
    name: what configs and metrics call it.
    stage: the stage that switches it on, where a config lists no other stages; None for one that
      only configs switch on.
    weight: in the loss once its stage is on, where a config gives no other.
    function: arrays -> a list of `Values`, one for each modality, direction or level. Each of its
      parameters is the name of a field of `Inputs`, whose value it is handed.
    combine: makes one number of the means over the items of several `Values`.

  >>> def spread(image):
  ...   return [Values(1.0 - jnp.abs(image.score), image.real)]
  >>> objective = Objective("spread", stage="spot", weight=0.1, function=spread)
  >>> objective.needs
  ('image',)
  """

  name: str
  stage: str | None
  weight: float
  function: Callable[..., Sequence[Values]]
  combine: Combine = mean

  @property
  def needs(self) -> tuple[str, ...]:
    """Fields of `Inputs` that the function reads."""
    return tuple(inspect.signature(self.function).parameters)

  def evaluate(self, inputs: Inputs) -> Verdict:
    """The objective over a batch."""
    found = self.function(**{name: getattr(inputs, name) for name in self.needs})
    items = [one.mask.sum(dtype=jnp.float32) for one in found]
    loss = self.combine([masked_mean(one.loss, one.mask) for one in found], items)
    chance = None
    if found and all(one.chance is not None for one in found):
      chance = self.combine([masked_mean(one.chance, one.mask) for one in found], items)
    return Verdict(loss, chance, sum(items, jnp.float32(0)))
