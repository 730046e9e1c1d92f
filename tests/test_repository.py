"""The promises that the repository makes as a whole."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("data_pipelines", "hibio", "experiments")
LEAVES = ("problems", "console", "files", "leaving")
"""Modules of `data_pipelines` that import the standard library and each other alone; every room may
use them."""

ABOVE = (
  "hibio.corpora", "hibio.embed", "hibio.evaluation", "hibio.export", "hibio.features",
  "hibio.finetuning.run", "hibio.finetuning.scores", "hibio.finetuning.tasks", "hibio.plotting",
  "hibio.pretraining", "hibio.report", "hibio.tissue",
)  # fmt: skip
"""Modules of `hibio` that read a corpus or sections. The others are the core: a model on arrays."""


def _files():
  return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def _module(path: Path) -> str:
  return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imports(path: Path) -> set[str]:
  """Modules, and names in modules, that a file imports wherever it does."""
  names = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and node.module:
      names |= {f"{node.module}.{alias.name}" for alias in node.names}
  return {name for name in names if name.split(".")[0] in (*PACKAGES, "tests")}


def _within(name: str, rooms) -> bool:
  return any(name == room or name.startswith(room + ".") for room in rooms)


def test_imports_flow_one_way():
  leaves = [f"data_pipelines.{name}" for name in LEAVES]
  wrong = []
  for path in _files():
    module, names = _module(path), _imports(path)
    if module in leaves:
      allowed = leaves
    elif module.startswith("data_pipelines"):
      allowed = ["data_pipelines"]
    elif module.startswith("experiments"):
      allowed = [*PACKAGES]
    elif module == "hibio" or _within(module, ABOVE):
      allowed = ["data_pipelines", "hibio"]
    else:
      allowed = [*leaves, "hibio"]
      names = {n for n in names if not _within(n, ABOVE)} | {
        f"{n}, which is above the core" for n in names if _within(n, ABOVE)
      }
    wrong += [f"{module} imports {n}" for n in sorted(names) if not _within(n, allowed)]
  assert not wrong


def test_no_import_circle():
  every = {_module(path): path for path in _files()}

  def module_of(name):
    while name not in every and "." in name:
      name = name.rpartition(".")[0]
    return name

  arrows = {m: {module_of(n) for n in _imports(p)} - {m} for m, p in every.items()}
  list(graphlib.TopologicalSorter(arrows).static_order())  # names the circle it meets


def test_no_data_step_imports_jax():
  wrong = [
    path
    for path in (ROOT / "data_pipelines").rglob("*.py")
    if re.search(r"^\s*(import|from) (jax|flax)\b", path.read_text(), re.MULTILINE)
  ]
  assert not wrong


def test_importing_the_library_waits_for_nothing():
  slow = {"jax", "anndata", "pandas", "data_pipelines"}
  code = f"import sys, hibio; print(sorted({slow} & set(sys.modules)))"
  done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                        check=True)  # fmt: skip
  assert done.stdout.strip() == "[]"


def test_every_entry_point_explains_itself():
  entries = [p for p in _files() if 'if __name__ == "__main__"' in p.read_text()]
  assert len(entries) >= 4
  for path in entries:
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert (
      f"python -m {'.'.join(path.relative_to(ROOT).with_suffix('').parts)}".removesuffix(
        ".__main__"
      )
      in docstring
    ), path


def test_no_tracked_file_names_a_machine_path():
  tracked = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
  ).stdout.split()
  if not tracked:
    pytest.skip("not a git checkout")
  pattern = re.compile(b"/(" + b"work|farm|root" + b")/")
  wrong = [
    name
    for name in tracked
    if (ROOT / name).is_file()
    and b"\0" not in (content := (ROOT / name).read_bytes())  # text
    and pattern.search(content)
  ]
  assert not wrong


def test_the_lock_names_no_registry():
  assert "http" not in (ROOT / "requirements.lock").read_text()


def test_every_package_of_the_lock_is_known_by_its_bytes():
  text = re.sub(r"\\\n\s*", " ", (ROOT / "requirements.lock").read_text())
  packages = [line for line in text.splitlines() if "==" in line and not line.startswith(" ")]
  assert len(packages) > 100
  assert [line[:60] for line in packages if "--hash=sha256:" not in line] == []
