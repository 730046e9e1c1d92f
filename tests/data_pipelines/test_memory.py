import os
import subprocess
import sys

import pytest

_COMMAND = """
import resource
import jax
import jax.numpy as jnp
from data_pipelines import memory
memory.keep()
twice = jax.jit(lambda x: jnp.tanh(x) @ x)
x = jnp.ones((3000, 3000))
pages = []
for _ in range(20):
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  twice(x).block_until_ready()
  pages.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(pages[5:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux: NOT checked here")
def test_a_compiled_function_gets_the_memory_that_it_had_before():
  one_device = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
  done = subprocess.run(
    [sys.executable, "-c", _COMMAND],
    env=one_device, capture_output=True, text=True, timeout=120, check=True,
  )  # fmt: skip
  assert int(done.stdout) < 1_000  # 36 MB are 8,789 pages, and there are several of them
