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


def mean(values: Sequence[Float[Array, ""]]) -> Float[Array, ""]:
  """The mean of a few numbers; 0 of none."""
  return sum(values, jnp.float32(0)) / max(len(values), 1)


@dataclasses.dataclass(frozen=True)
class Objective:
  """One term of the loss.

  Attributes:
    name: what configs and metrics call it.
    stage: the stage that switches it on, where a config lists no other stages.
    weight: in the loss once its stage is on, where a config gives no other.
    function: arrays -> a list of `Values`, one for each modality, direction or level. Each of its
      parameters is the name of a field of `Inputs`, whose value it is handed.
    combine: makes one number of the means over items of several `Values`.

  >>> def spread(image):
  ...   return [Values(1.0 - jnp.abs(image.score), image.real)]
  >>> objective = Objective("spread", stage="spot", weight=0.1, function=spread)
  >>> objective.needs
  ('image',)
  """

  name: str
  stage: str
  weight: float
  function: Callable[..., Sequence[Values]]
  combine: Callable[[Sequence[Float[Array, ""]]], Float[Array, ""]] = mean

  @property
  def needs(self) -> tuple[str, ...]:
    """Fields of `Inputs` that the function reads."""
    return tuple(inspect.signature(self.function).parameters)

  def evaluate(self, inputs: Inputs) -> tuple[Float[Array, ""], Float[Array, ""] | None]:
    """The objective over a batch, and what guessing gives; None where that is not known."""
    found = self.function(**{name: getattr(inputs, name) for name in self.needs})
    loss = self.combine([masked_mean(one.loss, one.mask) for one in found])
    if not found or any(one.chance is None for one in found):
      return loss, None
    return loss, self.combine([masked_mean(one.chance, one.mask) for one in found])
