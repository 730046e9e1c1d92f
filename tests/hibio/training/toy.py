"""A linear model and two objectives: enough of a run to stop, break and start again in seconds."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.genes import GenePanel
from hibio.batch import Batch, Tables
from hibio.configs import SIZES, ModelConfig, ObjectiveConfig, Stage, TrainingConfig
from hibio.training import loop
from hibio.training.recipe import Recipe, TrainResult
from hibio.training.timing import Stopwatch
from tests.hibio.fake import fake

GENES, WINDOWS, SPOTS = 12, 4, 8
PANEL = GenePanel(tuple(f"g{n}" for n in range(GENES)), tuple(f"S{n}" for n in range(GENES)))
CORPUS = {
  "fingerprint": "0123456789abcdef",
  "sections": [{"section_id": "a", "donor_id": "A", "content": "0a", "split": "train"}],
  "gene_sets": {"names": ["p"]},
  "splits": {"train": ["A"], "validation": [], "test": []},
  "patch": {"um": 112.0, "px": 2},
  "window_spots": SPOTS,
}
OBJECTIVES = ObjectiveConfig(weights=(("spot", 1.0), ("region", 0.5)))
STAGES = (Stage("spot", 0.5, ("spot",)), Stage("region", 0.5, ("region",)))


class Linear(nn.Module):
  """Two layers whose names the sharding rules know."""

  @nn.compact
  def __call__(self, values):
    hidden = nn.gelu(nn.Dense(16, name="up")(values))
    return nn.Dense(8, name="down")(hidden)


def config(**changes) -> TrainingConfig:
  values = {
    "num_steps": 6,
    "windows_per_batch": WINDOWS,
    "sections_per_batch": 2,
    "learning_rate": 0.05,
    "stages": STAGES,
    "mesh": (1, 1, 1),
    "log_every": 1,
    "evaluate_every": 0,
    "checkpoint_every": 2,
  }
  return TrainingConfig(**values | changes)


@functools.cache
def _fake() -> tuple[Batch, Tables]:
  return fake(windows=WINDOWS, spots=SPOTS, genes=GENES, pathways=3, patch_px=2)


def tables() -> Tables:
  return _fake()[1]


def batches(step: int) -> Iterator[Batch]:
  """The batch of a step is the fake one with counts drawn for that step."""
  while True:
    drawn = np.random.default_rng(step).poisson(2.0, (WINDOWS, SPOTS, GENES)).astype(np.int32)
    yield _fake()[0].replace(counts=drawn)
    step += 1


def spoilt(batch: Batch) -> Batch:
  """A batch that gives no finite loss."""
  return batch.replace(positions_um=np.full_like(batch.positions_um, np.nan))


def init():
  return Linear().init(jax.random.key(0), jnp.zeros((1, GENES)))["params"]


def forward(params, batch, tables, key):
  values = batch.counts.astype(jnp.float32) + 0.1 * jax.random.normal(key, batch.counts.shape)
  return Linear().apply({"params": params}, values)


def total(outputs, batch, tables, weights, key):
  region = tables.regions[0][batch.spot_index].astype(jnp.float32)
  losses = {
    "spot": ((outputs.mean(-1) - 1.0) ** 2).mean(),
    "region": ((outputs[..., 0] - 0.01 * region) ** 2).mean(),
  }
  # A position that is not a number makes a loss that is none.
  loss = sum(weights[name] * value for name, value in losses.items()) + 0 * batch.positions_um.sum()
  metrics = {f"loss/{name}": value for name, value in losses.items()}
  return loss, metrics | {f"weight/{name}": weights[name] for name in losses}


def refresh_regions(params, tables):
  """Regions that depend on both what is learned and what was there before."""
  shift = int(1e4 * abs(float(params["down"]["bias"][0]))) % 7
  return np.asarray(tables.regions) + 1 + shift


def train(workdir: Path, clock: Stopwatch | None = None, **changes) -> TrainResult:
  """A run of the toy; keywords replace fields of its recipe."""
  arguments = {
    "init": init,
    "forward": forward,
    "total": total,
    "batches": batches,
    "tables": tables(),
    "training": config(),
    "model": ModelConfig(**SIZES["tiny"]),
    "objectives": OBJECTIVES,
    "panel": PANEL,
    "corpus": CORPUS,
    "refresh_regions": refresh_regions,
  }
  return loop.train(Recipe(**arguments | changes), workdir, clock)


def leaves(tree) -> list[np.ndarray]:
  return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
