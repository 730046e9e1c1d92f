import jax
import numpy as np
import pytest

from data_pipelines.problems import BadInputError
from hibio import encoders
from hibio.configs import TrainingConfig
from hibio.finetuning import trainable
from hibio.training.optimizer import make_optimizer
from tests.hibio.finetuning import small

SCOPE = trainable.Scope(encoders.of(small.config()), last_blocks=1)
TREE = {"heads": {"annotation": {"kernel": np.ones((8, 3), np.float32)}}}


def _trained(rule, *, modalities=("image",), follows_means=False, old=small.GENES):
  return trainable.trained_by(
    rule, SCOPE, modalities=modalities, follows_means=follows_means, num_old_genes=old
  )


def _few():
  """A leaf of each kind: scanned and half trained, not read, not trained, tracked, and a head."""
  model = small.params(scan=True)
  image = model["image"]["transformer"]
  return {
    "model": {
      "image": {"transformer": {"blocks": {"mlp": image["blocks"]["mlp"]}, "norm": image["norm"]}},
      "gene": {"transformer": {"norm": model["gene"]["transformer"]["norm"]}},
      "project_image": model["project_image"],
      "centre_image": model["centre_image"],
      "log_scale": model["log_scale"],
    },
    **TREE,
  }


def _rows(part, leaf):
  """Whether each entry of a leaf is trained."""
  part = np.reshape(part, (-1, *[1] * (leaf.ndim - 1))) if np.ndim(part) else part
  return np.broadcast_to(part, leaf.shape)


def _parts(rule, scan=False, **options):
  return small.names(_trained(rule, **options)({"model": small.params(scan), **TREE}))


def _named(parts):
  return {name for name, part in parts.items() if part is not False}


@pytest.mark.parametrize("rule", ["lora", "head"])
def test_these_rules_train_nothing_of_the_model_itself(rule):
  assert _named(_parts(rule)) == {"heads/annotation/kernel"}


def test_full_trains_what_the_task_reads_and_leaves_the_rest_and_the_tracked_means_alone():
  parts = _parts("full")
  assert {name.split("/")[1] for name in _named(parts)} == {
    "annotation", "image", "project_image", "context_image"
  }  # fmt: skip
  assert all(part is True for part in parts.values() if part is not False)
  everything = _parts("full", modalities=None, follows_means=True)
  assert len(_named(everything)) == len(everything)


def test_the_last_blocks_are_the_same_unrolled_and_scanned():
  unrolled, scanned = _parts("last_blocks"), _parts("last_blocks", scan=True)
  blocks = "model/image/transformer/"
  assert _named(unrolled) == {
    "heads/annotation/kernel",
    *(name for name in unrolled if name.startswith((f"{blocks}block_1/", f"{blocks}norm/"))),
  }
  of_depth = {name: part for name, part in scanned.items() if name.startswith(f"{blocks}blocks/")}
  assert len(of_depth) == sum(name.startswith(f"{blocks}block_1/") for name in unrolled)
  for part in of_depth.values():
    np.testing.assert_array_equal(part, [False, True])
  assert scanned["model/gene/transformer/blocks/mlp/up/kernel"] is False  # not read
  assert not isinstance(scanned[f"{blocks}norm/scale"], np.ndarray)


def test_rows_of_new_genes_are_trained_by_every_rule_if_the_task_reads_them():
  table = "model/gene_table/embedding"
  for rule in ("head", "lora", "last_blocks"):
    part = _parts(rule, modalities=("image", "gene"), old=20)[table]
    np.testing.assert_array_equal(part, np.arange(small.GENES) >= 20)
    assert _parts(rule, modalities=("image", "gene"))[table] is False  # no new ones
    assert _parts(rule, old=20)[table] is False  # not read
  assert _parts("full", modalities=("gene",), old=20)[table] is True


def test_held_still_parts_get_no_gradient_and_values_do_not_change():
  params, trained = _few(), _trained("last_blocks")

  def total(params):
    return sum((leaf**2).sum() for leaf in jax.tree.leaves(trainable.held_still(params, trained)))

  value, gradient = jax.jit(jax.value_and_grad(total))(params)
  np.testing.assert_allclose(value, sum((leaf**2).sum() for leaf in jax.tree.leaves(params)), 1e-5)
  parts, before = small.names(trained(params)), small.names(params)
  for name, found in small.names(gradient).items():
    want = np.where(_rows(parts[name], found), 2 * before[name], 0)
    np.testing.assert_allclose(found, want, rtol=1e-6)


def test_what_is_not_trained_keeps_every_bit_and_has_no_moments():
  """Even with decay, and with gradients that somebody forgot to stop."""
  params, trained = _few(), _trained("last_blocks")
  config = TrainingConfig(num_steps=4, windows_per_batch=1, sections_per_batch=1, weight_decay=0.5)
  optimizer = make_optimizer(config, trained)
  state = jax.jit(optimizer.init)(params)
  moments = sum(leaf.size for leaf in jax.tree.leaves(state) if leaf.ndim)
  parts = small.names(trained(params))
  sizes = {name: leaf.size for name, leaf in small.names(params).items()}
  assert moments == 2 * sum(sizes[name] for name, part in parts.items() if part is not False)
  with jax.numpy_dtype_promotion("standard"):
    updates, _ = jax.jit(optimizer.update)(jax.tree.map(np.ones_like, params), state, params)
  for name, update in small.names(updates).items():
    np.testing.assert_array_equal(np.asarray(update) != 0, _rows(parts[name], update), name)


@pytest.mark.parametrize(
  ("rule", "blocks", "says"), [("lor", 1, "lora"), ("last_blocks", 3, "1 to 2")]
)
def test_a_rule_that_cannot_work_is_refused_with_what_can(rule, blocks, says):
  with pytest.raises(BadInputError, match=says):
    trainable.check(rule, small.config(), blocks)
