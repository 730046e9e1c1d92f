"""The notebooks: what they promise on paper, and that each runs from its first cell to its last."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest

import hibio

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


def test_every_notebook_installs_from_the_repository_that_the_project_names(notebook):
  project = tomllib.loads((FOLDER.parents[1] / "pyproject.toml").read_text())["project"]
  assert f'REPOSITORY = "{project["urls"]["Repository"]}"\n' in _code(notebook)[0].source


def test_a_notebook_calls_the_public_api_and_nothing_else_of_ours(notebook):
  for cell in _code(notebook):
    for line in re.findall(r"(?m)^\s*(?:from|import) .*", cell.source):
      assert not re.search(r"data_pipelines|experiments|hibio\.|from hibio", line), line
  used = set(re.findall(r"\bhibio\.(\w+)\(", "\n".join(c.source for c in _code(notebook))))
  assert used
  assert used <= set(hibio.__all__)


def test_a_notebook_says_what_chance_is_and_that_its_run_is_too_short(notebook):
  text = " ".join(" ".join(c.source for c in notebook.cells if c.cell_type == "markdown").split())
  assert "too short to judge the model" in text
  assert re.search(r"\*\*chance\*?\*?|\*\*Chance", text) or "chance is 0" in text
  assert "python -m experiments.pretrain --config=experiments/hibio.py" in text


@pytest.mark.notebooks
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_from_its_first_cell_to_its_last(name, tmp_path, monkeypatch):
  nbclient = pytest.importorskip("nbclient")
  _this_interpreter_as_kernel(tmp_path, monkeypatch)
  notebook = _read(name)
  nbclient.NotebookClient(
    notebook, timeout=SECONDS, kernel_name="here", resources={"metadata": {"path": str(tmp_path)}}
  ).execute()
  drawn = [o for cell in _code(notebook) for o in cell.outputs if "image/png" in o.get("data", {})]
  assert len(drawn) >= 2
  assert not [o for cell in _code(notebook) for o in cell.outputs if o.output_type == "error"]


def test_the_first_cell_installs_from_the_checkout_that_it_lies_in_else_from_the_repository(
  tmp_path, monkeypatch
):
  """Its lines, with the library hidden and pip only asked for its arguments."""
  lines = _code(_read(NAMES[0]))[0].source.replace("%pip install --quiet {source}", "said = source")
  monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
  for folder, source in ((FOLDER, str(FOLDER.parents[1])), (tmp_path, "git+https://")):
    monkeypatch.chdir(folder)
    names = {}
    exec(lines, names)
    assert names["said"].startswith(source)


def _this_interpreter_as_kernel(folder: Path, monkeypatch) -> None:
  """A kernel of the interpreter and the checkout that run the tests, on one device."""
  data = folder / "jupyter"
  command = [sys.executable, "-m", "ipykernel", "install", "--name=here", f"--prefix={data}"]
  subprocess.run(command, check=True, capture_output=True)
  monkeypatch.setenv("JUPYTER_PATH", str(data / "share" / "jupyter"))
  monkeypatch.setenv("PYTHONPATH", str(FOLDER.parents[1]))
  monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
  monkeypatch.delenv("XLA_FLAGS", raising=False)
