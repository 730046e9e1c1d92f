"""Examples in docstrings run as a user would run them, with JAX as it comes.

Those of the public API run in tests/hibio/test_public.py, on one model.
"""

import doctest
import importlib
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).resolve().parents[1]
PUBLIC = ("hibio", "hibio.embed")
MODULES = [
  ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
  for package in ("data_pipelines", "hibio", "experiments")
  for path in sorted((ROOT / package).rglob("*.py"))
  if ">>> " in path.read_text()
]


@pytest.mark.parametrize("name", [name for name in MODULES if name not in PUBLIC])
def test_examples_in_docstrings_say_what_they_do(name):
  with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
  assert found.attempted
  assert not found.failed
