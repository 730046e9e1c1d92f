"""Examples in docstrings run as a user would run them, with JAX as it comes."""

import doctest
import importlib
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = [
  ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
  for package in ("data_pipelines", "hibio", "experiments")
  for path in sorted((ROOT / package).rglob("*.py"))
  if ">>> " in path.read_text()
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_say_what_they_do(name):
  if name in ("hibio", "hibio.embed") and not (ROOT / "hibio" / "checkpoints").is_dir():
    pytest.skip("no checkpoint ships with this checkout")
  with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
  assert found.attempted
  assert not found.failed
