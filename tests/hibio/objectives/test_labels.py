import jax.numpy as jnp
import numpy as np
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight

from hibio.finetuning.tasks import balancing_weights, label_nll

RNG = np.random.default_rng(0)
LABELS = RNG.choice(4, 200, p=(0.7, 0.2, 0.1, 0)).astype(np.int32)


def test_the_weighted_mean_is_scikit_learns_log_loss():
  logits = RNG.normal(size=(200, 3)).astype(np.float32)
  weights = balancing_weights(LABELS, 3)[LABELS]
  got = np.asarray(label_nll(jnp.asarray(logits), jnp.asarray(LABELS)))
  probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  want = log_loss(LABELS, probabilities, sample_weight=weights)
  np.testing.assert_allclose((got * weights).sum() / weights.sum(), want, rtol=1e-6)


def test_weights_are_scikit_learns_balanced_ones_and_0_for_a_label_that_nobody_has():
  weights = balancing_weights(np.concatenate([LABELS, [-1, -1]]), 4)
  want = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
  np.testing.assert_allclose(weights[:3], want, rtol=1e-6)
  assert weights[3] == 0


def test_a_spot_without_a_label_has_no_loss_whatever_is_said_of_it():
  logits = jnp.array([[5.0, -5.0], [0.0, 9.0]])
  np.testing.assert_array_equal(label_nll(logits, jnp.array([-1, -1])), 0)
