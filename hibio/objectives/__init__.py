"""The objectives of training, by name.

A new objective is one new file with an `Objective` (see `hibio.objectives.base`) and one line in
`OBJECTIVES`: the default stages and weights, and what configs may name, follow from there.
"""

from __future__ import annotations

from data_pipelines.problems import BadInputError
from hibio.configs import Stage
from hibio.objectives import pathway, reconstruction, region, spot
from hibio.objectives.base import Objective

OBJECTIVES: dict[str, Objective] = {
  objective.name: objective
  for objective in (
    spot.SPOT,
    reconstruction.RECONSTRUCTION,
    reconstruction.GENE_RECONSTRUCTION,
    pathway.PATHWAY,
    pathway.PROTOTYPE,
    pathway.SEPARATION,
    region.REGION,
    region.SPOT_TO_REGION,
    region.HIERARCHY,
    region.SMOOTHNESS,
  )
}

STAGE_SHARES = {"spot": 0.1, "pathway": 0.1, "region": 0.8}
"""Share of all steps of each default stage, in order. The first ones are short: what is switched on
late, when the learning rate has come down, is hardly learned."""


def stages() -> tuple[Stage, ...]:
  """The default stages: each switches on the objectives that name it.

  Raises:
    BadInputError: an objective names a stage that is not there, and would never be switched on.
  """
  for objective in OBJECTIVES.values():
    if objective.stage not in (None, *STAGE_SHARES):
      raise BadInputError(
        "hibio.objectives.OBJECTIVES", f"stage of {objective.name!r}", repr(objective.stage),
        f"one of {', '.join(STAGE_SHARES)}", "name one of these, or add the stage to STAGE_SHARES",
      )  # fmt: skip
  return tuple(
    Stage(stage, share, tuple(one.name for one in OBJECTIVES.values() if one.stage == stage))
    for stage, share in STAGE_SHARES.items()
  )


def weights() -> dict[str, float]:
  """The default weight of each objective."""
  return {name: objective.weight for name, objective in OBJECTIVES.items()}


def needing(what: str) -> frozenset[str]:
  """Names of the objectives that read this field of `hibio.objectives.inputs.Inputs`."""
  return frozenset(name for name, objective in OBJECTIVES.items() if what in objective.needs)
