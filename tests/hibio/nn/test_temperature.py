from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hibio.nn.temperature import LOG_LIMIT, inverse_temperature


def test_the_inverse_temperature_is_an_exponential_that_stops_at_100():
  for log_scale in (-1.0, 2.6, 4.6):
    value, slope = jax.value_and_grad(inverse_temperature)(jnp.float32(log_scale))
    np.testing.assert_allclose([value, slope], np.exp(log_scale), rtol=1e-5)
  np.testing.assert_allclose(inverse_temperature(jnp.float32(7.0)), 100.0, rtol=1e-5)


@pytest.mark.parametrize(("sign", "passes"), [(1.0, True), (-1.0, False)])
def test_beyond_the_limit_only_the_way_back_is_open(sign, passes):
  # Descent follows the negative gradient: a positive one leads back below the limit.
  gradient = jax.grad(lambda s: sign * inverse_temperature(s))(jnp.float32(LOG_LIMIT + 0.1))
  assert (float(gradient) == 0.0) != passes
