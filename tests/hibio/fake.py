"""A random batch, its tables, what a model might say of it, and a step of training on it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from hibio import configs, forward, objectives
from hibio.batch import Batch, SectionStatistics, Tables
from hibio.finetuning.trainable import holding_still
from hibio.model import HiBio
from hibio.outputs import Keywords, Outputs
from hibio.training import optimizer, sharding, state, step

TOWER = configs.TransformerConfig(width=8, depth=1, num_heads=2)
SMALL = configs.ModelConfig(
  embedding_width=8,
  patch_px=8,
  token_px=4,
  image=TOWER,
  gene=TOWER,
  keywords=configs.KeywordConfig(num_keywords=6, min_documents=1),
  context=configs.ContextConfig(radius_um=0.0),
)
"""A model that compiles in a second."""

TRAINING = configs.TrainingConfig(
  num_steps=4,
  windows_per_batch=2,
  sections_per_batch=2,
  stages=(configs.Stage("spot", 1.0, ("spot",)),),
  mesh=(1, 1, 1),
)


def unit_vectors(rng: np.random.Generator, *shape: int) -> np.ndarray:
  vectors = rng.normal(size=shape)
  return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def fake(
  *,
  windows: int,
  spots: int,
  genes: int,
  pathways: int,
  sections: int = 2,
  levels: int = 2,
  patch_px: int = 32,
  seed: int = 0,
) -> tuple[Batch, Tables]:
  """A random batch and its tables, with counts that are over-dispersed and sparse."""
  rng = np.random.default_rng(seed)
  gene_rate = rng.lognormal(-1.5, 1.5, genes)
  depth = rng.lognormal(0.0, 0.4, (windows, spots, 1))
  counts = rng.poisson(rng.gamma(2.0, 0.5, (windows, spots, genes)) * gene_rate * depth)
  counts = counts.astype(np.int32)
  counts[..., 0] += 1  # no spot is empty
  side = int(np.ceil(np.sqrt(spots)))
  lattice = np.stack(np.divmod(np.arange(spots), side), -1)
  offsets = (np.arange(windows) * side)[:, None, None] * np.array([1, 0])
  positions = (100.0 * (lattice[None] + offsets)).astype(np.float32)
  real = np.ones((windows, spots), bool)
  real[-1, spots - spots // 4 :] = False
  section = (np.arange(windows) % sections).astype(np.int32)
  fractions = counts / counts.sum(-1, keepdims=True)
  log_expression = np.log1p(1e4 * fractions)
  membership = rng.random((pathways, genes)) < min(0.5, 12 / genes)
  membership[:, :2] = True

  def per_section(value, reduce):
    return np.stack([reduce(value[section == s][real[section == s]]) for s in range(sections)])

  statistics = SectionStatistics(
    measured=np.ones((sections, genes), bool),
    num_spots=np.array([real[section == s].sum() for s in range(sections)], np.float32),
    document_frequency=per_section(counts > 0, lambda v: v.sum(0)).astype(np.float32),
    mean_fraction=per_section(fractions, lambda v: v.mean(0)).astype(np.float32),
    log_mean=per_section(log_expression, lambda v: v.mean(0)).astype(np.float32),
    log_std=(per_section(log_expression, lambda v: v.std(0)) + 1e-3).astype(np.float32),
    activity_mean=np.zeros((sections, pathways), np.float32),
    activity_std=np.ones((sections, pathways), np.float32),
    corpus_document_share=(counts > 0).mean((0, 1)).clip(0.01, 0.99).astype(np.float32),
    corpus_mean_fraction=fractions.mean((0, 1)).astype(np.float32),
    corpus_spatial=(0.3 * rng.random(genes) ** 2).astype(np.float32),
  )
  spot_index = np.arange(windows * spots, dtype=np.int32).reshape(windows, spots)
  regions = np.stack(
    [(spot_index.ravel() // 4 // 2**level).astype(np.int32) for level in range(levels)]
  )
  batch = Batch(
    patches=rng.integers(0, 256, (windows, spots, patch_px, patch_px, 3), dtype=np.uint8),
    counts=np.where(real[..., None], counts, 0).astype(np.int32),
    positions_um=np.where(real[..., None], positions, 0).astype(np.float32),
    spot_mask=real,
    has_patch=real,
    has_counts=real,
    section_index=section,
    spot_index=np.where(real, spot_index, 0).astype(np.int32),
  )
  return batch, Tables(statistics=statistics, membership=membership, regions=regions)


def fake_outputs(batch: Batch, *, pathways: int, width: int = 8, seed: int = 0) -> Outputs:
  """What a model might say of the batch: unit vectors and numbers at random."""
  rng = np.random.default_rng(seed)
  shape, genes = batch.spot_mask.shape, batch.counts.shape[-1]

  def normal(*dims):
    return rng.normal(size=dims).astype(np.float32)

  keyword = rng.dirichlet(np.full(genes, 0.1), shape).astype(np.float32)
  fields = dict(
    image=unit_vectors(rng, *shape, width),
    gene=unit_vectors(rng, *shape, width),
    anchors=unit_vectors(rng, pathways, width),
    anchor_offset=0.1 * normal(pathways, width),
    predicted_from_image=normal(*shape, genes),
    predicted_from_gene=normal(*shape, genes),
    keyword_weight=keyword,
    region_score_image=normal(*shape),
    region_score_gene=normal(*shape),
    log_scale=np.float32(1.0),
    anchor_log_scale=np.float32(1.0),
  )
  nothing = jnp.zeros((*shape, 2))
  keywords = Keywords(nothing.astype(jnp.int32), nothing, nothing, nothing > 0)
  return Outputs(keywords=keywords, **jax.tree.map(jnp.asarray, fields))


def flat(params: Any) -> dict[str, np.ndarray]:
  """Parameters by their paths."""
  return {"/".join(path): np.array(leaf) for path, leaf in flatten_dict(params).items()}


def moved(
  model: HiBio,
  params: Any,
  data: tuple[Batch, Tables],
  trained: optimizer.Trained | None = None,
  steps: int = 1,
) -> set[str]:
  """Paths of the parameters that steps of the spot contrast change; each step is a good one."""
  mesh, made = sharding.make_mesh(TRAINING.mesh), optimizer.make_optimizer(TRAINING, trained)
  train_step = step.make_train_step(
    forward=holding_still(forward.for_training(model, TRAINING.augmentation), trained),
    total=forward.loss(configs.ObjectiveConfig(), shuffle_pairs=False, asked=("spot",)),
    optimizer=made,
    base_weights=objectives.weights(),
    config=TRAINING,
    mesh=mesh,
    state=state.abstract(params, made, mesh),
  )
  before, now = flat(params), state.create(params, made, mesh)
  for _ in range(steps):
    now, metrics = train_step(now, *data)
    assert np.isfinite(metrics["loss"])
    assert not metrics["skipped"]
  after = flat(now.params)
  return {path for path in before if (before[path] != after[path]).any()}
