"""The toy run as one of several processes: `python -m tests.hibio.training.several DIR PORT N I`.

With `--SIGKILL=STEP` or `--SIGTERM=STEP` this process gets the signal when it asks for that step's
batch.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np

from hibio.batch import Batch
from hibio.training import hosts, sharding
from tests.hibio.training import toy

CONFIG = toy.config(num_steps=8, mesh=(1, -1, 1), evaluate_every=4, region_refresh_share=0.5)


def batches(step: int) -> Iterator[Batch]:
  """This process's share of each batch of the toy."""
  rows = np.array(sharding.own_rows(toy.WINDOWS, sharding.make_mesh(CONFIG.mesh)))
  for batch in toy.batches(step):
    yield jax.tree.map(lambda leaf: leaf[rows], batch)


def evaluate(params, tables) -> dict[str, float]:
  """Says something of both; only arrays of this process can be read so."""
  regions = np.asarray(tables.regions)
  return {"bias": float(np.asarray(params["down"]["bias"])[0]), "regions": float(regions.mean())}


def train(workdir: Path, **changes):
  changes = {"batches": batches, "evaluate": evaluate, "training": CONFIG} | changes
  return toy.train(workdir, **changes)


def _signalled(name: str, at: int) -> Callable[[int], Iterator[Batch]]:
  def some(step: int) -> Iterator[Batch]:
    for number, batch in enumerate(batches(step), step):
      if number == at:
        os.kill(os.getpid(), signal.Signals[name])
      yield batch

  return some


if __name__ == "__main__":
  workdir, port, number, index, *signals = sys.argv[1:]
  changes = {}
  for one in signals:
    name, at = one.removeprefix("--").split("=")
    changes = {"batches": _signalled(name, int(at))}
  with hosts.joined(f"127.0.0.1:{port}", int(number), int(index)):
    train(Path(workdir), **changes)
