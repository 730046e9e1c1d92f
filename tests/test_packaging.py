"""What `pip install` of the project leaves on a machine."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
  """The project as pip installs it from a copy of the checkout, without its dependencies."""
  if int(importlib.metadata.version("setuptools").split(".")[0]) < 77:
    pytest.skip("setuptools is older than the project's build needs: installing is NOT checked")
  copy, target = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("installed")
  for name in ("pyproject.toml", "README.md", "requirements.txt"):
    shutil.copy(ROOT / name, copy)
  for name in ("data_pipelines", "hibio", "experiments"):
    shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
  pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
  subprocess.run(
    [*pip, "--no-deps", "--no-build-isolation", "--no-index", "--target", target, copy],
    check=True,
    cwd=copy,
  )
  return target


def _run(installed, folder, *command):
  environment = os.environ | {"PYTHONPATH": str(installed), "PATH": os.defpath}
  return subprocess.run(
    command, cwd=folder, env=environment, capture_output=True, text=True, check=True
  ).stdout


def test_it_is_imported_from_any_folder(installed, tmp_path):
  said = _run(installed, tmp_path, sys.executable, "-c", "import hibio; print(hibio.__file__)")
  assert said.startswith(str(installed))


def test_the_command_finds_its_config_from_any_folder(installed, tmp_path):
  assert _run(installed, tmp_path, installed / "bin" / "hibio", "--version") == "hibio 0.1.0\n"
  said = _run(installed, tmp_path, installed / "bin" / "hibio", "pretrain", "--print_config")
  assert "--config.training.num_steps=400\n" in said


def test_files_that_are_no_code_come_with_it(installed):
  for folder, kinds in {
    "hibio/report": ("html", "css", "js"),
    "hibio/checkpoints": ("*",),
    "experiments/datasets": ("csv", "gmt"),
  }.items():
    for kind in kinds:
      here = {path.relative_to(ROOT) for path in (ROOT / folder).rglob(f"*.{kind}")}
      there = {path.relative_to(installed) for path in (installed / folder).rglob(f"*.{kind}")}
      assert here == there, folder


def test_nothing_for_tests_or_style_is_needed_to_run():
  needed = {line.split(">")[0] for line in (ROOT / "requirements.txt").read_text().splitlines()}
  extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
  for extra in ("test", "dev", "docs"):
    assert not needed & {one.split(">")[0].split("[")[0] for one in extras[extra]}
  source = "\n".join(
    path.read_text()
    for package in ("data_pipelines", "hibio", "experiments")
    for path in (ROOT / package).rglob("*.py")
  )
  assert "import pytest" not in source
