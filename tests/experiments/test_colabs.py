"""The notebooks: what they promise on paper, and that each runs from its first cell to its last."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "experiments" / "colabs"
NAMES = ("first_embedding", "probing_the_levels", "zero_shot_annotation", "finetuning")
MOST_LINES = 80
SECONDS = 900
"""Of one cell on a busy machine; on two idle cores a whole notebook takes a minute."""


def _read(name: str) -> nbformat.NotebookNode:
  return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def _code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
  return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _is_install(cell: nbformat.NotebookNode) -> bool:
  return "install" in cell.metadata.get("tags", [])


def _lines(notebook: nbformat.NotebookNode) -> list[str]:
  """Lines of code; blank ones and comments do not count."""
  lines = [line for cell in _code(notebook) for line in cell.source.splitlines()]
  return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def test_every_notebook_is_listed_here():
  assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(NAMES)


@pytest.fixture(params=NAMES)
def notebook(request) -> nbformat.NotebookNode:
  return _read(request.param)


def test_a_notebook_is_valid_and_carries_no_output(notebook):
  nbformat.validate(notebook)
  assert all(not cell.outputs and cell.execution_count is None for cell in _code(notebook))


def test_a_notebook_has_at_most_80_lines_of_code_and_defines_no_function(notebook):
  lines = _lines(notebook)
  assert 0 < len(lines) <= MOST_LINES
  assert not [line for line in lines if re.search(r"\b(def|lambda|class)\b", line)]
  assert not [line for line in lines if line.rstrip().endswith(";") or len(line) > 100]


def test_a_notebook_opens_with_its_name_and_explains_every_cell_before_it(notebook):
  cells = notebook.cells
  assert cells[0].cell_type == "markdown"
  assert cells[0].source.startswith("# ")
  for before, cell in zip(cells[:-1], cells[1:], strict=True):
    if cell.cell_type == "code":
      assert before.cell_type == "markdown", cell.source[:60]
      assert "xpect" in before.source or "hance" in before.source, before.source[:60]


def test_only_the_first_code_cell_installs(notebook):
  first, *rest = _code(notebook)
  assert _is_install(first)
  assert "%pip install" in first.source
  for cell in rest:
    assert not _is_install(cell)
    assert not re.search(r"(?m)^\s*[%!]", cell.source)


def test_a_notebook_says_what_chance_is_and_that_its_run_is_too_short(notebook):
  text = " ".join(" ".join(c.source for c in notebook.cells if c.cell_type == "markdown").split())
  assert "too short to judge the model" in text
  assert re.search(r"\*\*chance\*?\*?|\*\*Chance", text) or "chance is 0" in text
  assert "python -m experiments.pretrain --config=experiments/hibio.py" in text


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
  """An empty folder; the run that the first notebook leaves there serves the others."""
  return tmp_path_factory.mktemp("colabs")


@pytest.mark.notebooks
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_from_its_first_cell_to_its_last(name, folder, monkeypatch):
  nbclient = pytest.importorskip("nbclient")
  _this_interpreter_as_kernel(folder, monkeypatch)
  notebook = _read(name)
  notebook.cells = [cell for cell in notebook.cells if not _is_install(cell)]
  nbclient.NotebookClient(
    notebook, timeout=SECONDS, kernel_name="here", resources={"metadata": {"path": str(folder)}}
  ).execute()
  drawn = [o for cell in _code(notebook) for o in cell.outputs if "image/png" in o.get("data", {})]
  assert len(drawn) >= 2
  assert not [o for cell in _code(notebook) for o in cell.outputs if o.output_type == "error"]


def _this_interpreter_as_kernel(folder: Path, monkeypatch) -> None:
  """A kernel of the interpreter and the checkout that run the tests, on one device."""
  data = folder / "jupyter"
  if not data.is_dir():
    command = [sys.executable, "-m", "ipykernel", "install", "--name=here", f"--prefix={data}"]
    subprocess.run(command, check=True, capture_output=True)
  monkeypatch.setenv("JUPYTER_PATH", str(data / "share" / "jupyter"))
  monkeypatch.setenv("PYTHONPATH", str(FOLDER.parents[1]))
  monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
  monkeypatch.delenv("XLA_FLAGS", raising=False)
