import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, log_loss

from data_pipelines.problems import BadInputError
from hibio.finetuning import heads, tasks
from hibio.finetuning.config import FinetuningConfig
from hibio.finetuning.heads import balancing_weights
from tests.hibio.finetuning import small

NO_WEIGHTS = np.zeros(0, np.float32)
NAMES = ("a", "b", "c")
EXPRESSION = ("expression_mse", "expression_poisson", "expression_nb")


@pytest.fixture(scope="module")
def data():
  """The small batch, with some spots that lack a patch and labels on two thirds of the spots."""
  batch, tables = small.data()
  has_patch = batch.has_patch.copy()
  has_patch[0, :3] = False
  rng = np.random.default_rng(0)
  labels = rng.integers(-1, 3, batch.spot_mask.size).astype(np.int32)
  statistics = tables.statistics
  measured = statistics.measured.copy()
  measured[0, :4] = False
  tables = tables.replace(labels=labels, statistics=statistics.replace(measured=measured))
  return jax.tree.map(jnp.asarray, (batch.replace(has_patch=has_patch), tables))


def _task(name, **changes):
  weights = balancing_weights(np.array([0] * 6 + [1] * 3 + [2]), 3)
  config = FinetuningConfig(task=name, label_names=NAMES, **changes)
  return tasks.TASKS[name](config, weights if name == "annotation" else NO_WEIGHTS)


def _values(task, said, head, data):
  found = jax.jit(task.objective)(said, head, *data)
  return {name: float(value) for name, value in found.items()}


def _said(shape, seed=1):
  return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize("name", [*EXPRESSION, "annotation"])
def test_every_head_begins_by_saying_nothing_which_is_chance(name, data):
  task = _task(name, modality="fused")
  head = task.begin(small.params())
  said = heads.read(head, heads.seen(small.outputs(), task.modality))
  values = _values(task, said, head, data)
  assert values["loss"] == pytest.approx(values["chance"], rel=1e-5)
  assert values["chance"] > 0.1


def _seen(batch, tables):
  real = np.asarray(batch.spot_mask & batch.has_patch & batch.has_counts)
  measured = np.asarray(tables.statistics.measured)[np.asarray(batch.section_index)]
  return real[..., None] & measured[:, None]


@pytest.mark.parametrize("name", EXPRESSION)
def test_expression_losses_are_means_over_measured_genes_of_spots_with_both(name, data):
  """Against NumPy and SciPy, in float64, over the entries that count and no others."""
  batch, tables = data
  seen, counts = _seen(batch, tables), np.asarray(batch.counts)
  measured = np.asarray(tables.statistics.measured)[np.asarray(batch.section_index)][:, None]
  size_factor = (counts * measured).sum(-1, keepdims=True)
  section = np.asarray(batch.section_index)
  of_section = {
    field: np.asarray(getattr(tables.statistics, field), np.float64)[section][:, None]
    for field in ("mean_fraction", "log_mean", "log_std")
  }
  said = 0.3 * _said(counts.shape)
  theta = np.linspace(0.5, 5, counts.shape[-1])
  head = {"log_inverse_dispersion": jnp.log(jnp.asarray(theta, jnp.float32))}
  if name == "expression_mse":
    logs = np.log1p(1e4 * counts * measured / np.maximum(size_factor, 1))
    z = (logs - of_section["log_mean"]) / np.maximum(of_section["log_std"], 0.1)
    entries = (np.asarray(said) - np.clip(z, -10, 10)) ** 2
  else:
    mean = size_factor * np.maximum(of_section["mean_fraction"], 1e-6) * np.exp(np.asarray(said))
    if name == "expression_poisson":
      entries = -stats.poisson.logpmf(counts, mean)
    else:
      entries = -stats.nbinom.logpmf(counts, theta, theta / (theta + mean))
  values = _values(_task(name), said, head, data)
  assert values["loss"] == pytest.approx(entries[seen].mean(), rel=1e-4)


@pytest.mark.parametrize("name", EXPRESSION)
def test_what_is_said_of_padding_missing_patches_and_unmeasured_genes_does_not_matter(name, data):
  said = _said(data[0].counts.shape)
  head = {"log_inverse_dispersion": jnp.zeros(said.shape[-1])}
  other = jnp.where(_seen(*data), said, 1e6)
  task = _task(name)

  def loss(said):
    return task.objective(said, head, *data)["loss"]

  (one, gradient), (two, other_gradient) = map(jax.jit(jax.value_and_grad(loss)), (said, other))
  assert one == two
  np.testing.assert_array_equal(gradient, other_gradient)
  assert np.isfinite(gradient).all()
  assert (np.asarray(gradient)[~_seen(*data)] == 0).all()


def test_annotation_is_scikit_learns_balanced_log_loss_and_accuracy_over_labelled_spots(data):
  batch, tables = data
  said = _said((*batch.spot_mask.shape, 3))
  labels = np.asarray(tables.labels)[np.asarray(batch.spot_index)]
  seen = np.asarray(batch.spot_mask & batch.has_patch) & (labels >= 0)
  truth, logits = labels[seen], np.asarray(said, np.float64)[seen]
  task = tasks.TASKS["annotation"](
    FinetuningConfig(task="annotation", label_names=NAMES), balancing_weights(truth, 3)
  )
  values = _values(task, said, {}, data)
  weights = balancing_weights(truth, 3)[truth]
  probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  want = log_loss(truth, probabilities, sample_weight=weights)
  assert values["loss"] == pytest.approx(want, rel=1e-5)
  accuracy = balanced_accuracy_score(truth, logits.argmax(1))
  assert values["monitor/balanced_accuracy"] == pytest.approx(accuracy, rel=1e-5)
  assert values["chance"] == pytest.approx(np.log(3))
  assert not seen.all()


@pytest.mark.parametrize(
  ("changes", "says"),
  [
    ({"task": "expresion"}, "expression_mse"),
    ({"modality": "both"}, "fused"),
    ({"task": "continue", "trainable": "head"}, "has none"),
  ],
)
def test_names_that_do_not_exist_are_refused_with_those_that_do(changes, says):
  with pytest.raises(BadInputError, match=says):
    tasks.check(FinetuningConfig(**changes))
