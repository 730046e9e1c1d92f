"""The whole model: what a spot's embedding depends on, and that it runs at real scale."""

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from data_pipelines.problems import BadInputError
from hibio.batch import Batch, SectionStatistics
from hibio.configs import SIZES, ContextConfig, KeywordConfig, ModelConfig, TransformerConfig
from hibio.model import HiBio
from tests.hibio.fake import fake

GENES, PATHWAYS, SPOTS = 40, 3, 9
TOWER = TransformerConfig(width=16, depth=1, num_heads=2)
CONFIG = ModelConfig(
  embedding_width=16,
  patch_px=8,
  token_px=4,
  image=TOWER,
  gene=TOWER,
  keywords=KeywordConfig(num_keywords=6, min_documents=1),
  context=ContextConfig(num_heads=2, radius_um=150.0),
)
PER_SPOT = (
  *("image", "gene", "predicted_from_image", "predicted_from_gene"),
  *("keyword_weight", "region_score_image", "region_score_gene"),
)


FIELDS = (*PER_SPOT, "anchors")


@pytest.fixture(scope="module")
def data():
  batch, tables = fake(windows=3, spots=SPOTS, genes=GENES, pathways=PATHWAYS, patch_px=8)
  return jax.tree.map(jnp.asarray, (batch, tables))


@pytest.fixture(scope="module")
def params(data):
  batch, tables = data
  model = HiBio(CONFIG, num_genes=GENES)
  params = jax.jit(model.init)(jax.random.key(0), batch, tables.statistics, tables.membership)
  # Region scores begin at 0; away from there so that a test sees them.
  rng = np.random.default_rng(0)
  for side in ("image", "gene"):
    kernel = params["params"][f"region_score_{side}"]
    kernel["kernel"] = jnp.asarray(rng.normal(size=(16, 1)).astype(np.float32))
  return params


@pytest.fixture(scope="module")
def forward(params):
  model = HiBio(CONFIG, num_genes=GENES)
  apply = jax.jit(model.apply)

  def run(batch, tables, params=params):
    outputs = apply(params, batch, tables.statistics, tables.membership)
    return SimpleNamespace(**{name: np.asarray(getattr(outputs, name)) for name in FIELDS})

  return run


@pytest.fixture(scope="module")
def outputs(forward, data):
  return forward(*data)


def assert_same(got, want, where, fields=PER_SPOT):
  for field in fields:
    np.testing.assert_array_equal(getattr(got, field)[where], getattr(want, field)[where], field)


def test_embeddings_and_anchors_have_length_1_and_everything_is_finite(outputs, data):
  for vectors in (outputs.image, outputs.gene, outputs.anchors):
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1.0, rtol=1e-5)
  assert all(np.isfinite(leaf).all() for leaf in vars(outputs).values())
  real = np.asarray(data[0].spot_mask)
  assert np.linalg.matrix_rank(outputs.image[real], tol=1e-2) > 3
  assert np.linalg.matrix_rank(outputs.gene[real], tol=1e-2) > 3


def test_what_stands_in_padding_changes_no_real_spot_exactly(forward, data, outputs):
  batch, tables = data
  real = batch.spot_mask
  garbage = batch.replace(
    patches=jnp.where(real[..., None, None, None], batch.patches, 77),
    counts=jnp.where(real[..., None], batch.counts, 5),
    positions_um=jnp.where(real[..., None], batch.positions_um, 100.0),
  )
  assert_same(forward(garbage, tables), outputs, np.asarray(real))


def test_more_padding_changes_no_real_spot(forward, data, outputs):
  batch, tables = data

  def longer(leaf):
    if leaf.ndim == 1:
      return leaf
    return jnp.pad(leaf, [(0, 0), (0, 4)] + [(0, 0)] * (leaf.ndim - 2))

  got = forward(jax.tree.map(longer, batch), tables)
  real = np.asarray(batch.spot_mask)
  for field in PER_SPOT:
    np.testing.assert_allclose(
      getattr(got, field)[:, :SPOTS][real], getattr(outputs, field)[real], atol=1e-5
    )  # another shape, another order of summation


def test_spots_of_other_windows_do_not_matter(forward, data, outputs):
  batch, tables = data
  other = batch.replace(patches=batch.patches.at[1].set(0), counts=batch.counts.at[1].add(3))
  got = forward(other, tables)
  assert_same(got, outputs, np.array([0, 2]))
  assert (got.image[1] != outputs.image[1]).any()
  assert (got.gene[1] != outputs.gene[1]).any()


def test_a_neighbour_changes_both_embeddings_of_a_spot(forward, data, outputs):
  batch, tables = data
  other = batch.replace(
    patches=batch.patches.at[0, 1].set(0), counts=batch.counts.at[0, 1, 5:12].add(40)
  )
  got = forward(other, tables)
  for side in ("image", "gene"):
    change = np.abs(getattr(got, side) - getattr(outputs, side)).max(-1)[0]
    assert (change[[0, 2, 4]] > 1e-5).all()  # beside it
    assert (change[[7, 8]] == 0).all()  # two rows away


def test_without_context_a_spot_is_read_by_itself(data):
  batch, tables = data
  model = HiBio(dataclasses.replace(CONFIG, context=ContextConfig(radius_um=0.0)), GENES)
  args = (tables.statistics, tables.membership)
  params = jax.jit(model.init)(jax.random.key(0), batch, *args)
  assert not [name for name in params["params"] if name.startswith("context")]
  apply = jax.jit(model.apply)
  other = batch.replace(patches=batch.patches.at[0, 1].set(0))
  changed = np.asarray(apply(params, other, *args).image != apply(params, batch, *args).image)
  assert changed.any(-1)[0].tolist() == [False, True] + 7 * [False]


def test_positions_may_be_moved_and_turned(forward, data, outputs):
  batch, tables = data
  x, y = batch.positions_um[..., 0], batch.positions_um[..., 1]
  moved = batch.replace(positions_um=jnp.stack([-y + 4096.0, x - 512.0], -1))
  got = forward(moved, tables)
  for field in PER_SPOT:
    np.testing.assert_allclose(getattr(got, field), getattr(outputs, field), atol=1e-5)


def test_a_missing_patch_says_nothing_to_anyone_and_a_missing_profile_neither(
  forward, data, outputs
):
  batch, tables = data
  holes = batch.replace(
    has_patch=batch.has_patch.at[0, 0].set(False), has_counts=batch.has_counts.at[0, 4].set(False)
  )
  want = forward(holes, tables)
  got = forward(
    holes.replace(
      patches=holes.patches.at[0, 0].set(9), counts=holes.counts.at[0, 4].set(7)
    ),
    tables,
  )  # fmt: skip
  everyone = np.asarray(batch.spot_mask)
  assert_same(got, want, everyone, ("image", "gene"))
  assert np.isfinite(got.gene).all()
  assert (want.image[0, 1] != outputs.image[0, 1]).any()


@pytest.mark.parametrize("profile", [False, True])
def test_without_the_whole_profile_only_keywords_are_read(data, params, profile):
  batch, tables = data
  model = HiBio(dataclasses.replace(CONFIG, gene_profile=profile), num_genes=GENES)
  direction = jnp.asarray(np.random.default_rng(3).normal(size=16).astype(np.float32))

  @jax.jit
  def gradient(table):
    def read(table):
      changed = {"params": params["params"] | {"gene_table": {"embedding": table}}}
      out = model.apply(changed, batch, tables.statistics, tables.membership)
      return (out.gene[0] @ direction).sum(), out.keywords

    return jax.grad(read, has_aux=True)(table)

  of_gene, keywords = gradient(params["params"]["gene_table"]["embedding"])
  read = set(np.asarray(keywords.gene[0])[np.asarray(keywords.mask[0])].tolist())
  moved = set(np.flatnonzero(np.abs(of_gene).max(-1)).tolist())
  assert moved > read if profile else moved == read
  assert 0 < len(read) < GENES


@pytest.mark.parametrize(
  ("changes", "field"),
  [({"image_stem": "fourier"}, "image_stem"), ({"token_px": 6, "patch_px": 12}, "token_px")],
)
def test_a_stem_that_cannot_be_is_refused_by_name(data, changes, field):
  batch, tables = data
  model = HiBio(dataclasses.replace(CONFIG, **changes), num_genes=GENES)
  if "patch_px" in changes:
    batch = batch.replace(patches=jnp.zeros((*batch.patches.shape[:2], 12, 12, 3), jnp.uint8))
  with pytest.raises(BadInputError, match=f"model.{field}"):
    jax.eval_shape(model.init, jax.random.key(0), batch, tables.statistics, tables.membership)


def test_a_gene_added_to_the_panel_is_one_row_more_and_changes_no_other(data, params, outputs):
  batch, tables = data

  def wider(leaf):
    return jnp.pad(leaf, [(0, 0)] * (leaf.ndim - 1) + [(0, 1)])

  per_gene = ("measured", "document_frequency", "mean_fraction", "log_mean", "log_std")
  per_gene += ("corpus_document_share", "corpus_mean_fraction", "corpus_spatial")
  statistics = tables.statistics.replace(
    **{name: wider(getattr(tables.statistics, name)) for name in per_gene}
  )
  share = statistics.corpus_document_share.at[-1].set(0.5)
  statistics = statistics.replace(corpus_document_share=share)
  inner = dict(params["params"])
  inner["gene_table"] = {"embedding": jnp.pad(inner["gene_table"]["embedding"], [(0, 1), (0, 0)])}
  inner["gene_bias"] = wider(inner["gene_bias"])
  got = jax.jit(HiBio(CONFIG, num_genes=GENES + 1).apply)(
    {"params": inner},
    batch.replace(counts=wider(batch.counts)),
    statistics,
    wider(tables.membership),
  )
  np.testing.assert_allclose(got.image, outputs.image, atol=1e-5)
  np.testing.assert_allclose(got.anchors, outputs.anchors, atol=1e-5)
  np.testing.assert_allclose(
    got.predicted_from_image[..., :-1], outputs.predicted_from_image, atol=1e-5
  )


@pytest.mark.slow
def test_bfloat16_gives_float32_outputs_close_to_those_of_float32(data, params, outputs):
  batch, tables = data
  model = HiBio(dataclasses.replace(CONFIG, dtype="bfloat16"), num_genes=GENES)
  got = jax.jit(model.apply)(params, batch, tables.statistics, tables.membership)
  assert {leaf.dtype for leaf in (got.image, got.gene, got.predicted_from_image)} == {
    jnp.dtype("float32")
  }
  for side in ("image", "gene"):
    assert float((getattr(got, side) * getattr(outputs, side)).sum(-1).min()) > 0.99


@pytest.mark.parametrize(
  ("field", "value", "message"),
  [
    ("patch_px", 16, "patch_px: found 16, expected 8"),
    ("token_px", 3, "token_px: found 3, expected a divisor"),
    ("embedding_width", 15, "context.num_heads: found 2, expected a divisor of the width 15"),
  ],
)
def test_sizes_that_do_not_fit_are_named(field, value, message, data):
  batch, tables = data
  model = HiBio(dataclasses.replace(CONFIG, **{field: value}), num_genes=GENES)
  with pytest.raises(BadInputError, match=message):
    model.init(jax.random.key(0), batch, tables.statistics, tables.membership)


def test_another_panel_is_named(data):
  batch, tables = data
  with pytest.raises(BadInputError, match="num_genes: found 41, expected 40"):
    HiBio(CONFIG, num_genes=41).init(jax.random.key(0), batch, tables.statistics, tables.membership)


def real_scale(side: int, genes: int, pathways: int) -> tuple[Batch, SectionStatistics, Array]:
  """Zeros in the shapes of 4,096 spots of 8 sections; inside `eval_shape` they take no memory."""
  spots = (64, 64)
  batch = Batch(
    patches=jnp.zeros((*spots, side, side, 3), jnp.uint8),
    counts=jnp.zeros((*spots, genes), jnp.int32),
    positions_um=jnp.zeros((*spots, 2)),
    spot_mask=jnp.ones(spots, bool),
    has_patch=jnp.ones(spots, bool),
    has_counts=jnp.ones(spots, bool),
    section_index=jnp.zeros(64, jnp.int32),
    spot_index=jnp.zeros(spots, jnp.int32),
  )
  per_gene = ("document_frequency", "mean_fraction", "log_mean", "log_std")
  statistics = SectionStatistics(
    measured=jnp.ones((8, genes), bool),
    num_spots=jnp.ones(8),
    activity_mean=jnp.zeros((8, pathways)),
    activity_std=jnp.ones((8, pathways)),
    corpus_document_share=jnp.ones(genes),
    corpus_mean_fraction=jnp.ones(genes),
    corpus_spatial=jnp.ones(genes),
    **{name: jnp.ones((8, genes)) for name in per_gene},
  )
  return batch, statistics, jnp.ones((pathways, genes), bool)


@pytest.mark.parametrize("size", list(SIZES))
def test_every_size_takes_a_real_batch(size):
  """Shapes only: 4,096 spots over 18,000 genes and 300 pathways."""
  config = ModelConfig(**SIZES[size], keywords=KeywordConfig(num_keywords=256), dtype="bfloat16")
  model = HiBio(config, num_genes=18_000)

  def run(key):
    outputs, params = model.init_with_output(key, *real_scale(config.patch_px, 18_000, 300))
    return {name: getattr(outputs, name) for name in FIELDS}, outputs.keywords.gene, params

  outputs, keywords, params = jax.eval_shape(run, jax.random.key(0))
  width = config.embedding_width
  assert outputs["image"].shape == outputs["gene"].shape == (64, 64, width)
  assert outputs["anchors"].shape == (300, width)
  assert outputs["predicted_from_image"].shape == (64, 64, 18_000)
  assert outputs["keyword_weight"].shape == (64, 64, 18_000)
  assert keywords.shape == (64, 64, 256)
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}


def test_parameters_carry_the_names_that_sharding_rules_read(params):
  names = {
    jax.tree_util.keystr(path, simple=True, separator="/")
    for path, _ in jax.tree_util.tree_leaves_with_path(params["params"])
  }
  block = "transformer/block_0"
  for tower in ("image", "gene"):
    for layer in ("attention/qkv", "attention/out", "mlp/up", "mlp/down"):
      assert f"{tower}/{block}/{layer}/kernel" in names
  assert "gene_table/embedding" in names
