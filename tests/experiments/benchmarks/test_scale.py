import pytest

from tests.experiments.conftest import run


@pytest.mark.slow
def test_large_on_eight_devices_sends_weights_and_gradients_and_no_tokens():
  done = run("experiments.benchmarks.scale", "--sizes=L", "--devices=8", "--compilers=cpu")
  assert done.returncode == 0, done.stderr[-2000:]
  cells = done.stdout.splitlines()[-1].strip("| ").split(" | ")
  state, temporaries, sent = map(float, cells[3:6])  # GB of one device
  assert state < 0.7
  assert temporaries < 20.0
  assert sent < 6.0
