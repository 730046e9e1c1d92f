from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hibio.objectives.reconstruction import keyword_squared_error


@pytest.fixture
def case(rng):
  predicted, expression = rng.normal(size=(2, 3, 5)).astype(np.float32)
  measured = np.array([[1, 1, 1, 1, 0]] * 2 + [[0] * 5], bool)
  keyword = np.array([[0.75, 0.25, 0, 0, 0], [0] * 5, [0.5, 0.5, 0, 0, 0]], np.float32)
  return tuple(map(jnp.asarray, (predicted, expression, measured, keyword)))


def test_half_of_the_weight_is_even_and_half_lies_on_the_keywords(case):
  predicted, expression, *_ = map(np.asarray, case)
  squared = (predicted - expression) ** 2
  want = [
    0.5 * squared[0, :4].mean() + 0.5 * (0.75 * squared[0, 0] + 0.25 * squared[0, 1]),
    squared[1, :4].mean(),  # no keywords
    0.0,  # nothing measured
  ]
  np.testing.assert_allclose(keyword_squared_error(*case), want, rtol=1e-5)


def test_genes_that_are_not_measured_change_nothing(case):
  predicted, expression, measured, keyword = case
  moved = keyword_squared_error(predicted.at[:, 4].set(99.0), expression, measured, keyword)
  np.testing.assert_array_equal(moved, keyword_squared_error(*case))


def test_the_gradient_is_finite_and_zero_where_nothing_is_measured(case):
  gradient = jax.grad(lambda predicted: keyword_squared_error(predicted, *case[1:]).sum())(case[0])
  assert np.isfinite(gradient).all()
  np.testing.assert_array_equal(gradient[2], 0.0)
  assert float(np.abs(gradient[0]).max()) > 0
