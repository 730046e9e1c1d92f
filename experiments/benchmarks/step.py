"""How long a training step takes on this device, and how many operations a second that is.

  python -m experiments.benchmarks.step --config=experiments/hibio.py:small

The batch is random and always the same: what is measured is the model and the optimizer, without
reading or decoding. Genes and gene sets are those of the smallest synthetic tissue.
Operations are counted by hand (`hibio.flops`).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from data_pipelines import entry
from data_pipelines.loading.corpus import Corpus
from hibio import configs, corpora, forward
from hibio.batch import Batch
from hibio.flops import count_flops
from hibio.model import HiBio
from hibio.pretraining import parts
from hibio.training import sharding, state
from hibio.training.optimizer import make_optimizer
from hibio.training.step import make_train_step

FLAGS = entry.Flags(__doc__)
_CONFIG = FLAGS.config_file("config", "experiments/hibio.py", "The experiment, FILE[:VARIANTS]")
_WINDOW_SPOTS = FLAGS.integer("window_spots", 64, "Spots of a window", lower_bound=2)
_STEPS = FLAGS.integer("steps", 10, "Steps that are timed, after two that are not", lower_bound=1)


def main() -> None:
  config, spots = _CONFIG.value, _WINDOW_SPOTS.value
  model, objectives, training = parts(config)
  with tempfile.TemporaryDirectory() as folder:
    corpus = Corpus.open(corpora.corpus("tiny", 0, Path(folder)))
    batch = random_batch(training.windows_per_batch, spots, model.patch_px, len(corpus.panel))
    take = stepper(corpus, model, objectives, training)
  seconds = timed(lambda: take(batch), _STEPS.value)
  pairs, operations = batch.spot_mask.size, step_flops(model, corpus, batch)
  genes, pathways = len(corpus.panel), len(corpus.gene_set_names)
  print(f"device        {jax.device_count()} x {jax.devices()[0].device_kind}")
  print(
    f"batch         {len(batch.counts)} windows of {spots} spots, {genes:,} genes,"
    f" {pathways} gene sets"
  )
  print(f"step          {1e3 * seconds:,.1f} ms, median of {_STEPS.value}")
  print(f"pairs         {pairs / seconds:,.0f} a second")
  print(f"operations    {operations:.3g} a step, {operations / seconds:.3g} a second")


def step_flops(model: configs.ModelConfig, corpus: Corpus, batch: Batch) -> float:
  """Operations of a step, forward and backward, without what is computed a second time."""
  _, spots = batch.spot_mask.shape
  each = count_flops(
    model, len(corpus.panel), len(corpus.gene_set_names),
    spots_per_window=spots, spots_per_batch=batch.spot_mask.size,
  )  # fmt: skip
  return 3 * batch.spot_mask.size * each


def stepper(
  corpus: Corpus,
  model_config: configs.ModelConfig,
  objectives: configs.ObjectiveConfig,
  training: configs.TrainingConfig,
) -> Callable[[Batch], None]:
  """Takes a training step, as a run takes it, and waits for it."""
  mesh = sharding.make_mesh(training.mesh)
  model, optimizer = HiBio(model_config, len(corpus.panel)), make_optimizer(training)
  tables = corpora.tables_of(corpus)
  some = random_batch(len(mesh.devices.ravel()), 2, model_config.patch_px, len(corpus.panel))
  params = forward.initial_params(model, some, tables, training.seed)
  now = [state.create(params, optimizer, mesh)]
  step = make_train_step(
    forward=forward.for_training(model, training.augmentation, training.accumulation),
    total=forward.loss(objectives, training.shuffle_pairs),
    optimizer=optimizer,
    base_weights=dict(objectives.weights),
    config=training,
    mesh=mesh,
    state=now[0],
  )
  tables = sharding.replicate(tables, mesh)

  def take(batch: Batch) -> None:
    now[0], metrics = step(now[0], sharding.put_batch(batch, mesh), tables)
    jax.block_until_ready(metrics)

  return take


def timed(work: Callable[[], None], times: int) -> float:
  """Median seconds, after two that are not counted."""
  seconds = []
  for _ in range(2 + times):
    begun = time.perf_counter()
    work()
    seconds.append(time.perf_counter() - begun)
  return statistics.median(seconds[2:])


def random_batch(windows: int, spots: int, patch_px: int, genes: int) -> Batch:
  """Windows of one section: spots 100 um apart, each with a patch and counts."""
  rng, shape = np.random.default_rng(0), (windows, spots)
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
