import importlib.metadata
import shutil

import pytest

from experiments import doctor
from tests.experiments.conftest import call


def test_a_machine_that_runs_the_tests_is_fit(tmp_path):
  done = call("experiments.doctor", f"--workdir={tmp_path}", "--notrain")
  assert done.returncode == 0, done.stdout
  assert done.stdout.endswith("all is well\n")
  assert not list(tmp_path.iterdir())


def test_a_package_of_the_wrong_version_is_named_with_what_to_do(monkeypatch):
  real = importlib.metadata.version
  monkeypatch.setattr(
    importlib.metadata, "version", lambda name: "0.1" if name == "jax" else real(name)
  )
  with pytest.raises(doctor.Unfit, match=r"jax is 0\.1, not .*pip install -r requirements\.lock"):
    doctor._packages()


def test_a_disk_that_is_nearly_full_is_unfit(monkeypatch, tmp_path):
  usage = shutil.disk_usage(tmp_path)._replace(free=10**9)
  monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
  with pytest.raises(doctor.Unfit, match=r"1\.0 GB free"):
    doctor._disk(tmp_path)


@pytest.mark.slow
def test_the_training_of_seconds_leaves_nothing(tmp_path):
  assert "saved and read back" in doctor._training(tmp_path)
  assert not list(tmp_path.iterdir())
