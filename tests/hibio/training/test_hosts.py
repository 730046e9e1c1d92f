"""Several processes as one run; the run itself is `tests.hibio.training.several`."""

import socket
import subprocess
import sys

import numpy as np
import pytest

from data_pipelines.problems import BadInputError
from hibio.training import hosts, metrics
from hibio.training.stopping import GONE
from tests.experiments.conftest import alone
from tests.hibio.training import several, toy


def test_without_flags_or_a_launcher_a_process_is_alone():
  assert not hosts.launched({"SLURM_NTASKS": "8"})  # in an allocation, but not started by srun
  assert not hosts.launched({"SLURM_STEP_NODELIST": "a", "SLURM_NTASKS": "1"})
  with hosts.joined(), hosts.first_alone() as first:
    assert first
  with hosts.joined(num_processes=1):
    assert hosts.from_first(lambda: np.arange(3), np.zeros(3, int)).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
  "environment",
  [
    {"SLURM_STEP_NODELIST": "node[1-2]", "SLURM_NTASKS": "2"},
    {"OMPI_COMM_WORLD_SIZE": "4"},
    {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"},
    {"TPU_ML_PLATFORM": "JAX"},
  ],
)
def test_a_launcher_is_known_by_what_it_tells_its_processes(environment):
  assert hosts.launched(environment)


@pytest.mark.parametrize(
  ("flags", "says"),
  [
    (("10.0.0.1:8476", 2, None), "--process_id: found nothing, expected all of"),
    (("", 2, 1), "--coordinator: found nothing"),
    (("10.0.0.1", 2, 1), "--coordinator: found '10.0.0.1', expected HOST:PORT"),
    (("10.0.0.1:8476", 2, 2), "--process_id: found 2, expected 0 to 1"),
    (("10.0.0.1:8476", 0, 0), "--num_processes: found 0"),
  ],
)
def test_flags_that_cannot_mean_anything_are_refused(flags, says):
  with pytest.raises(BadInputError, match=says), hosts.joined(*flags):
    pass


def _free_port() -> int:
  with socket.socket() as one:
    one.bind(("127.0.0.1", 0))
    return one.getsockname()[1]


def test_a_port_that_is_taken_is_refused():
  with socket.create_server(("", 0)) as taken:
    port = taken.getsockname()[1]
    with pytest.raises(BadInputError, match=f"port {port}: "), hosts.joined(f"here:{port}", 2, 0):
      pass


def _begun(*arguments: str) -> subprocess.Popen:
  return subprocess.Popen(
    [sys.executable, *arguments], env=alone(), stderr=subprocess.PIPE, text=True
  )


def test_a_process_that_nobody_answers_gives_up_in_one_line():
  code = (
    "from hibio.training import hosts\n"
    "hosts.PATIENCE_SECONDS = 1\n"
    f"with hosts.joined('127.0.0.1:{_free_port()}', 2, 1): print('never')"
  )
  alone = _begun("-c", code)
  said = alone.communicate(timeout=120)[1]
  assert alone.returncode == 3
  assert said.startswith("hibio: 127.0.0.1:")
  assert "found not all of them within 1 s, expected 2 that reach the first one there" in said
  assert len(said.splitlines()) == 1


def _curve(workdir) -> list[dict]:
  clock = ("pairs_per_second", "seconds", "data_wait_share")
  lines = metrics.read(workdir)
  return [{name: line[name] for name in line if name not in clock} for line in lines]


def test_two_processes_learn_what_one_does_and_one_goes_on_where_another_was_killed(tmp_path):
  run = ("-m", several.__name__, str(tmp_path / "two"), str(_free_port()), "2")
  first, second = _begun(*run, "0"), _begun(*run, "1", "--SIGKILL=7")
  said = first.communicate(timeout=240)[1]
  second.communicate(timeout=240)
  assert (first.returncode, second.returncode) == (GONE, -9), said
  assert "2 processes, 2 devices" in said
  assert "another process of this run is gone" in said.splitlines()[-1]
  # Until then both had looked at held-out donors, refreshed the regions and saved.
  assert [line["step"] for line in _curve(tmp_path / "two")] == [*range(1, 8)]
  several.train(tmp_path / "two")
  several.train(tmp_path / "one")
  for mine, theirs in zip(_curve(tmp_path / "two"), _curve(tmp_path / "one"), strict=True):
    assert mine.keys() == theirs.keys()
    assert mine["pairs"] == theirs["pairs"] == toy.WINDOWS * toy.SPOTS - 2
    for name, value in theirs.items():
      if isinstance(value, float):
        # The order of sums differs over devices.
        np.testing.assert_allclose(mine[name], value, rtol=1e-5, atol=1e-7, err_msg=name)
