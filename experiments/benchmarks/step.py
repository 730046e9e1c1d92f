"""How long a training step takes on this device, and how many operations a second that is.

  python -m experiments.benchmarks.step --config=experiments/hibio.py:small

The batch is random and lies on the device already: what is measured is the model and the optimizer,
without reading or decoding. Genes and gene sets are those of the smallest synthetic tissue.
Operations are counted by hand (`hibio.flops`).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

from data_pipelines import entry
from data_pipelines.loading.corpus import Corpus
from hibio import configs, corpora, forward
from hibio.batch import Batch
from hibio.flops import count_flops
from hibio.model import HiBio
from hibio.training import sharding, state
from hibio.training.optimizer import make_optimizer
from hibio.training.step import make_train_step

FLAGS = entry.Flags(__doc__)
_CONFIG = FLAGS.config_file("config", "experiments/hibio.py", "The experiment, FILE[:VARIANTS]")
_WINDOW_SPOTS = FLAGS.integer("window_spots", 64, "Spots of a window", lower_bound=2)
_STEPS = FLAGS.integer("steps", 10, "Steps that are timed, after two that are not", lower_bound=1)


def main() -> None:
  config = _CONFIG.value
  model_config = configs.from_dict(configs.ModelConfig, config.model.to_dict(), "config.model.")
  objectives = configs.from_dict(
    configs.ObjectiveConfig, config.objectives.to_dict(), "config.objectives."
  )
  training = configs.from_dict(
    configs.TrainingConfig, config.training.to_dict(), "config.training."
  )
  with tempfile.TemporaryDirectory() as folder:
    corpus = Corpus.open(corpora.corpus("tiny", 0, Path(folder)))
    genes, pathways = len(corpus.panel), len(corpus.gene_set_names)
    seconds = _timed(corpus, model_config, objectives, training)
  windows, spots = training.windows_per_batch, _WINDOW_SPOTS.value
  pairs = windows * spots
  operations = (
    3
    * pairs
    * count_flops(model_config, genes, pathways, spots_per_window=spots, spots_per_batch=pairs)
  )
  print(f"device        {jax.device_count()} x {jax.devices()[0].device_kind}")
  print(f"batch         {windows} windows of {spots} spots, {genes:,} genes, {pathways} gene sets")
  print(f"step          {1e3 * seconds:,.1f} ms, median of {_STEPS.value}")
  print(f"pairs         {pairs / seconds:,.0f} a second")
  print(f"operations    {operations:.3g} a step, {operations / seconds:.3g} a second")


def _timed(
  corpus: Corpus,
  model_config: configs.ModelConfig,
  objectives: configs.ObjectiveConfig,
  training: configs.TrainingConfig,
) -> float:
  """Median seconds of a step."""
  tables = corpora.tables_of(corpus)
  batch = _random(training.windows_per_batch, model_config.patch_px, len(corpus.panel))
  model, optimizer = HiBio(model_config, len(corpus.panel)), make_optimizer(training)
  mesh = sharding.make_mesh(training.mesh)
  params = forward.initial_params(model, batch, tables, training.seed)
  now = state.create(params, optimizer, mesh)
  step = make_train_step(
    forward=forward.for_training(model, training.augmentation),
    total=forward.loss(objectives, training.shuffle_pairs),
    optimizer=optimizer,
    base_weights=dict(objectives.weights),
    config=training,
    mesh=mesh,
    state=now,
  )
  batch, tables = sharding.put_batch(batch, mesh), sharding.replicate(tables, mesh)
  times = []
  for _ in range(2 + _STEPS.value):
    begun = time.perf_counter()
    now, metrics = step(now, batch, tables)
    jax.block_until_ready(metrics)
    times.append(time.perf_counter() - begun)
  return statistics.median(times[2:])


def _random(windows: int, patch_px: int, genes: int) -> Batch:
  """Windows of one section: spots 100 um apart, each with a patch and counts."""
  rng, shape = np.random.default_rng(0), (windows, _WINDOW_SPOTS.value)
  side = int(np.ceil(np.sqrt(shape[1])))
  places = 100.0 * np.stack(np.divmod(np.arange(shape[1]), side), -1)
  every = np.ones(shape, bool)
  return Batch(
    patches=rng.integers(0, 256, (*shape, patch_px, patch_px, 3), np.uint8),
    counts=rng.poisson(1.0, (*shape, genes)).astype(np.int32),
    positions_um=np.broadcast_to(places, (*shape, 2)).astype(np.float32),
    spot_mask=every,
    has_patch=every,
    has_counts=every,
    section_index=np.zeros(windows, np.int32),
    spot_index=np.arange(every.size, dtype=np.int32).reshape(shape) % 100,
  )


if __name__ == "__main__":
  entry.run(main, FLAGS)
