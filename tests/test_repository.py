"""The promises that the repository makes as a whole."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("data_pipelines", "hibio", "experiments")
ALLOWED = {
  "data_pipelines": {"data_pipelines"},
  "hibio": {"hibio", "data_pipelines.problems"},
  # AnnData in and out: a model is only used right on spots that are read as in training.
  "hibio/export": {"hibio", "data_pipelines"},
  "experiments": {"experiments", "hibio", "data_pipelines"},
}


def _files():
  return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def _imports(path: Path) -> set[str]:
  names = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and node.module:
      names |= {f"{node.module}.{alias.name}" for alias in node.names}
  return {name for name in names if name.split(".")[0] in (*PACKAGES, "tests")}


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_flow_one_way(path):
  parts = path.relative_to(ROOT).parts
  allowed = ALLOWED.get("/".join(parts[:2])) or ALLOWED[parts[0]]
  wrong = {n for n in _imports(path) if not any(n == a or n.startswith(a + ".") for a in allowed)}
  assert not wrong


def test_only_the_door_to_export_imports_it():
  wrong = [
    path.relative_to(ROOT)
    for path in (ROOT / "hibio").rglob("*.py")
    if path.relative_to(ROOT).parts[1] != "export"
    and any(name.startswith("hibio.export") for name in _imports(path))
  ]
  assert wrong == [Path("hibio/pretrained.py")]


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


def test_links_in_the_documents_exist():
  for document in ROOT.glob("*.md"):
    for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text()):
      if not link.startswith(("http", "mailto")):
        assert (ROOT / link).exists(), f"{document.name}: {link}"


def test_no_tracked_file_names_a_machine_path():
  tracked = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
  ).stdout.split()
  if not tracked:
    pytest.skip("not a git checkout")
  pattern = re.compile("/(" + "work|farm|root" + ")/")
  wrong = [
    name
    for name in tracked
    if (ROOT / name).suffix in {".py", ".md", ".toml", ".txt", ".lock", ".ipynb", ".json", ""}
    and (ROOT / name).is_file()
    and pattern.search((ROOT / name).read_text(errors="ignore"))
  ]
  assert not wrong


def test_the_lock_names_no_registry():
  assert "http" not in (ROOT / "requirements.lock").read_text()
