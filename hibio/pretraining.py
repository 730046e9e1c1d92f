"""A corpus and a config -> a trained work directory; and the parts that finetuning shares."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int
from ml_collections import ConfigDict

from data_pipelines import console
from data_pipelines.loading import loader
from data_pipelines.loading.corpus import Corpus
from data_pipelines.preparation import regions
from data_pipelines.problems import disk_explained
from hibio import config_trees, configs, corpora, forward, readout
from hibio.batch import Batch, Tables
from hibio.encoders import pretrained
from hibio.evaluation import stored_readout
from hibio.evaluation.section_probe import section_probe
from hibio.finetuning import trainable
from hibio.forward import Forward, spot_vectors
from hibio.model import HiBio
from hibio.objectives import spot
from hibio.objectives.inputs import Pairs
from hibio.outputs import Outputs
from hibio.pairwise import block_of
from hibio.report import curves, section_figures
from hibio.training import hosts, loop, sharding, stages
from hibio.training.metrics import mean_of
from hibio.training.recipe import Recipe, TrainResult
from hibio.training.step import Total
from hibio.training.timing import Stopwatch
from hibio.training.workdir import record

HELD_OUT_BATCHES = 6
"""Most batches of held-out donors that are evaluated during training; enough for a curve."""

_SEEN = {"image": "has_patch", "gene": "has_counts"}


def run(config: ConfigDict, clock: Stopwatch | None = None) -> Corpus:
  """All that a config asks for, as `python -m experiments.pretrain` does; run again, it resumes.

  Args:
    clock: what `run.json` takes the seconds from; a new one by default.

  Returns:
    The corpus that was trained on, with the gene sets that the config names; synthetic tissue, made
    first, where it names no corpus.

  Raises:
    BadInputError: an unknown key in the config, or a corpus that cannot be used.
  """
  clock = clock or Stopwatch()
  model, objectives, training = parts(config)
  with clock.part("set-up"), hosts.first_alone():
    corpus = corpora.chosen(corpora.opened(config), config.gene_sets, config.gene_sets_seed)
  workdir = Path(config.workdir)
  pretrain(corpus, workdir, model, objectives, training, config.num_threads, clock)
  return corpus


def parts(
  config: ConfigDict,
) -> tuple[configs.ModelConfig, configs.ObjectiveConfig, configs.TrainingConfig]:
  """What an experiment says of the model, the objectives and the training.

  Raises:
    BadInputError: an unknown key.
  """
  classes = {
    "model": configs.ModelConfig,
    "objectives": configs.ObjectiveConfig,
    "training": configs.TrainingConfig,
  }
  return tuple(
    config_trees.from_dict(cls, config[name].to_dict(), f"config.{name}.")
    for name, cls in classes.items()
  )


def pretrain(
  corpus: Corpus,
  workdir: Path,
  model_config: configs.ModelConfig,
  objectives: configs.ObjectiveConfig,
  training: configs.TrainingConfig,
  num_threads: int = 2,
  clock: Stopwatch | None = None,
) -> TrainResult:
  """Trains on the corpus' training donors; resumes if the work directory holds a checkpoint.

  Args:
    num_threads: that decode patches.
    clock: what `run.json` takes the seconds from; a new one by default.
  """
  clock = clock or Stopwatch()
  with clock.part("set-up"):
    model = HiBio(model_config, num_genes=len(corpus.panel))
    recipe = _recipe(model, corpus, objectives, training, num_threads)
    if hosts.is_first():
      whole = training_batches(corpus, training, num_threads, whole=True)
      console.say(pairing(corpus, next(whole(0)), objectives))
  result = loop.train(recipe, workdir, clock)
  params = sharding.on_this_process(result.params)
  with hosts.first_alone() as first:
    if first:
      try:
        with disk_explained(workdir, "--config.workdir", "room for a readout and figures"):
          with clock.part("readout"):
            frozen, tables = forward.frozen(model), recipe.tables
            _store_readout(corpus, frozen, tables, params, result.step, workdir)
          with clock.part("figures"):
            curves.draw(workdir)
            _draw_regions(corpus, result.regions, workdir / "figures" / "regions.png")
      finally:
        record(workdir, seconds=clock.shares())
  return result


def _recipe(
  model: HiBio,
  corpus: Corpus,
  objectives: configs.ObjectiveConfig,
  training: configs.TrainingConfig,
  num_threads: int,
) -> Recipe:
  tables = corpora.tables_of(corpus)
  frozen = forward.frozen(model)
  total = forward.loss(objectives, training.shuffle_pairs, stages.named(training))
  weights = pretrained.weights_of(model.config)
  trained = None if weights is None else trainable.in_pretraining(model.config)

  def init() -> Any:
    params = forward.initial_params(model, corpora.first_window(corpus), tables, training.seed)
    return pretrained.begun(params, weights, training.seed)

  return Recipe(
    init=init,
    forward=trainable.holding_still(
      forward.for_training(model, training.augmentation, training.accumulation), trained
    ),
    total=total,
    batches=training_batches(corpus, training, num_threads),
    tables=tables,
    training=training,
    model=model.config,
    objectives=objectives,
    panel=corpus.panel,
    corpus=corpora.described(corpus),
    refresh_regions=refresh_regions(corpus, frozen, training),
    evaluate=while_training(corpus, frozen, total, training),
    trained=trained,
    more_config={} if weights is None else {"pretrained": dict(weights.about)},
  )


def _store_readout(
  corpus: Corpus, frozen: Forward, tables: Tables, params: Any, step: int, workdir: Path
) -> None:
  """Writes what expression is predicted by, unless this step's is there already."""
  if readout.saved(workdir, step) is not None:
    return
  found = stored_readout.fitted(corpus, frozen, params, tables, step)
  if found is None:
    console.say("no expression readout: no training spots have both an image and counts")
    return
  readout.save(found, workdir)
  console.say(stored_readout.in_words(found))


def _draw_regions(
  corpus: Corpus, regions: Int[np.ndarray, "level corpus_spot"], path: Path
) -> None:
  named = {f"regions, level {level}": ids for level, ids in enumerate(regions, 1)}
  train = [s["section_id"] for s in corpus.manifest["sections"] if s["split"] == "train"]
  section_figures.draw_groups(corpus, named, train[:3], path)


def pairing(corpus: Corpus, batch: Batch, objectives: configs.ObjectiveConfig) -> str:
  """What there is to pair, in words: images, pairs of a batch, and what each is told from."""
  sections = corpus.manifest["sections"]
  train = [row for row, section in enumerate(sections) if section["split"] == "train"]
  spots, windows = batch.spot_mask, int(batch.spot_mask.any(1).sum())  # the others are empty
  nothing, valid = np.zeros((spots.size, 1), np.float32), spots & batch.has_patch & batch.has_counts
  pairs = Pairs(
    nothing,
    nothing,
    valid.reshape(-1),
    batch.positions_um.reshape(-1, 2),
    np.repeat(batch.section_index, spots.shape[1]),
  )
  told_from = spot.num_candidates(
    jax.tree.map(jnp.asarray, pairs),
    neighbour_radius_um=objectives.neighbour_radius_um,
    within_section=spot.NEGATIVES.get(objectives.negatives, False),
    block=block_of(spots.size),
  )
  said = f"images in {corpus.has_image[train].sum()} of {len(train)} training sections"
  looked = looked_at(corpus)
  with_image = {sections[row]["split"] for row in np.flatnonzero(corpus.has_image)}
  if looked and looked not in with_image:
    said = f"{looked} donors have no image: their pairs cannot be looked at while training\n{said}"
  if not valid.any():
    return f"{said}; a step has no pair of an image and a profile"
  number = float(np.asarray(told_from)[valid.reshape(-1)].mean())
  return (
    f"{said}; a step has about {valid.sum():,} pairs in {windows} windows, and each is told from"
    f" about {number:,.0f}"
  )


def training_batches(
  corpus: Corpus, training: configs.TrainingConfig, num_threads: int, whole: bool = False
) -> Callable[[int], Iterator[Batch]]:
  """Step -> the batches of training donors from that step on; of each, what this process's devices
  hold.

  A step has no more windows than the corpus, rounded up to what devices and parts can share.

  Args:
    whole: whether whole batches are wanted, whoever holds them.
  """
  sections = corpus.manifest["sections"]
  there = sum(section["num_windows"] for section in sections if section["split"] == "train")
  shares = jax.device_count() * training.accumulation
  windows_per_batch = min(training.windows_per_batch, -(-there // shares) * shares)
  mesh = sharding.make_mesh(training.mesh)
  rows = None if whole else sharding.own_rows(windows_per_batch, mesh)

  def batches(step: int) -> Iterator[Batch]:
    arrays = loader.batches(
      corpus,
      "train",
      windows_per_batch=windows_per_batch,
      sections_per_batch=training.sections_per_batch,
      paired_share=training.paired_share,
      seed=training.seed,
      start_step=step,
      num_threads=num_threads,
      rows=rows,
    )
    return (Batch(**one) for one in arrays)

  return batches


def refresh_regions(
  corpus: Corpus, frozen: Forward, training: configs.TrainingConfig
) -> Callable[[Any, Tables], np.ndarray]:
  """(params, tables) -> new nested regions of the training sections, by both modalities.

  Raises:
    BadInputError: a `training.region_method` that does not exist or cannot run here.
  """
  draw = regions.method(training.region_method)

  def refresh(params: Any, tables: Tables) -> np.ndarray:
    windows = loader.windows_once(corpus, ("train",), windows_per_batch=training.windows_per_batch)
    found = spot_vectors(frozen, params, tables, windows)
    features = np.concatenate([found.image, found.gene], axis=1)
    before = np.asarray(tables.regions)
    return regions.refreshed(
      before, corpus.spots, found.spot_index, features, training.region_um, draw
    )

  return refresh


def while_training(
  corpus: Corpus, frozen: Callable[..., Any], total: Total, training: configs.TrainingConfig
) -> Callable[[Any, Tables], dict[str, float]] | None:
  """`held_out` over the donors `looked_at`; None where the corpus has none."""
  split = looked_at(corpus)
  return held_out(corpus, split, frozen, total, training) if split else None


def looked_at(corpus: Corpus) -> str:
  """Which donors are looked at while training: "validation", else "test", else nobody ("")."""
  return next((name for name in ("validation", "test") if corpus.manifest["splits"][name]), "")


def held_out(
  corpus: Corpus,
  split: str,
  frozen: Callable[..., Any],
  total: Total,
  training: configs.TrainingConfig,
) -> Callable[[Any, Tables], dict[str, float]]:
  """(params, tables) -> mean metrics over a few windows of donors that are not trained on.

  Each over the pairs or spots that it looks at: a batch without them says nothing.

  Where `frozen` gives embeddings, also how well they tell the windows' sections apart.

  Args:
    frozen: (params, batch, tables) -> outputs.
    total: (outputs, batch, tables, weights, key) -> (loss, metrics).
  """
  measure = forward.measure(total)
  sections = corpus.manifest["sections"]
  windows = sum(section["num_windows"] for section in sections if section["split"] == split)
  # A batch that went round would tell a spot from itself.
  at_once = min(training.windows_per_batch, windows)

  def look(params: Any, tables: Tables) -> dict[str, float]:
    arrays = loader.batches(
      corpus,
      split,
      windows_per_batch=at_once,
      sections_per_batch=training.sections_per_batch,
      paired_share=training.paired_share,
      seed=0,
    )
    measured, seen = [], []
    for one in itertools.islice(arrays, min(HELD_OUT_BATCHES, -(-windows // at_once))):
      batch = Batch(**one)
      outputs = frozen(params, batch, tables)
      metrics = measure(outputs, batch, tables)
      measured.append(jax.device_get(metrics))
      if isinstance(outputs, Outputs):
        seen.append((outputs.image, outputs.gene, batch))
    means = {
      name: value
      for name, value in mean_of(measured).items()
      if name.startswith(("loss/", "chance/", "monitor/"))
    }
    return means | (_sections_told(seen) if seen else {})

  return look


def _sections_told(seen: Sequence[tuple[jax.Array, jax.Array, Batch]]) -> dict[str, float]:
  """What the section probe finds in either modality; nothing where there is one section."""
  images, genes, batches = zip(*seen, strict=True)
  found = {}
  for name, embeddings in (("image", images), ("gene", genes)):
    here = [batch.spot_mask & getattr(batch, _SEEN[name]) for batch in batches]
    sections = [np.broadcast_to(b.section_index[:, None], b.spot_mask.shape) for b in batches]

    def spots(arrays, here=here):
      return np.concatenate([np.asarray(a)[kept] for a, kept in zip(arrays, here, strict=True)])

    # The last batch may go round.
    _, once = np.unique(spots([b.spot_index for b in batches]), return_index=True)
    told = section_probe(
      spots(embeddings)[once],
      spots(sections)[once],
      spots([batch.positions_um for batch in batches])[once],
    )
    if told is not None:
      found[f"monitor/section_probe_{name}"] = told.accuracy
      found[f"monitor/section_probe_{name}_chance"] = told.chance
  return found
