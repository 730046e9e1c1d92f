"""What the documents promise: links, commands, flags and code that run."""

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

from data_pipelines import entry
from data_pipelines.readers import READERS
from experiments import cli
from hibio.encoders import IMAGE_ENCODERS
from hibio.evaluation.baselines import BASELINES
from hibio.evaluation.suite import EVALUATED, TASKS
from hibio.objectives import OBJECTIVES

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(document.relative_to(ROOT)) for document in DOCUMENTS]
RUN = [path for path in DOCUMENTS if "```python" in path.read_text()]
"""Documents with Python; the blocks of one go on from each other."""


def _blocks(document: Path, language: str) -> list[str]:
  return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)


def _commands(document: Path) -> list[tuple[str, str]]:
  """(module, arguments) of every command in a document, in shell blocks and between backticks."""
  text = "\n".join([*_blocks(document, "bash"), *re.findall(r"`([^`\n]+)`", document.read_text())])
  lines = text.replace("\\\n", " ").splitlines()
  found = [
    match.groups()
    for line in lines
    for match in re.finditer(r"(?:^|\s)(python -m [\w.]+|hibio [a-z]\w*)((?: +[^|&;#]*)?)", line)
  ]
  modules = {f"hibio {name}": module for name, module in cli.COMMANDS.items()}
  return [(modules.get(name, name.removeprefix("python -m ")), rest) for name, rest in found]


def _flags(module: str) -> entry.Flags:
  return importlib.import_module(module).FLAGS


def _config_of(arguments: str, default: str):
  """The config that a command line names, presets applied."""
  named = re.search(r"--config=(\S+)", arguments)
  path, _, variants = (named[1] if named else default).partition(":")
  spec = importlib.util.spec_from_file_location("config_of_a_document", ROOT / path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(variants)


def test_the_readme_fits_a_reader_s_patience():
  assert len((ROOT / "README.md").read_text().splitlines()) <= 130


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name):
  document = ROOT / name
  links = re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", document.read_text())
  wrong = [
    link
    for link in links
    if not link.startswith(("http", "mailto")) and not (document.parent / link).exists()
  ]
  assert not wrong


def _headings(document: Path) -> set[str]:
  """What links to its headings end with."""
  text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
  plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).lower()
  titles = re.findall(r"^#+ (.+)$", plain, re.MULTILINE)
  return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", NAMES)
def test_links_to_a_heading_find_it(name):
  document = ROOT / name
  links = re.findall(r"\]\(([^)\s#]*\.md|)#([^)]+)\)", document.read_text())
  wrong = [
    f"{page}#{heading}"
    for page, heading in links
    if not page.startswith("http")
    and heading not in _headings(document.parent / page if page else document)
  ]
  assert not wrong


@pytest.mark.parametrize("name", NAMES)
def test_commands_exist_and_know_their_flags(name):
  wrong = []
  for module, arguments in _commands(ROOT / name):
    if importlib.util.find_spec(module) is None:
      wrong.append(f"{module}: no such module")
      continue
    if module.split(".")[0] not in ("data_pipelines", "experiments"):
      continue
    flags = _flags(module)
    known = {*flags, "help"}
    for flag in re.findall(r"--([a-z_]+)(?=[=\s.]|$)", arguments):
      if flag not in known and flag.removeprefix("no") not in known:
        wrong.append(f"{module}: --{flag}")
    config = next(iter(flags.configs.items()), None)
    for key in re.findall(r"--config\.([\w.]+)", arguments):
      try:
        node = _config_of(arguments, config[1])
        for part in key.split("."):
          node = node[part]
      except KeyError:
        wrong.append(f"{module}: --config.{key}")
  assert not wrong


@pytest.mark.parametrize("name", NAMES)
def test_make_targets_exist(name):
  targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
  text = "\n".join(
    [*_blocks(ROOT / name, "bash"), *re.findall(r"`([^`\n]+)`", (ROOT / name).read_text())]
  )
  assert set(re.findall(r"(?:^|\s)make ([\w-]+)", text)) <= targets


def test_tasks_in_documents_are_tasks():
  named = {
    task
    for document in DOCUMENTS
    for tasks in re.findall(r"--tasks=([a-z_,]+)", document.read_text())
    for task in tasks.split(",")
  }
  assert named <= set(TASKS)


def test_the_guide_s_table_of_tasks_lists_what_is_asked_by_default():
  guide = (ROOT / "docs/guides/evaluating.md").read_text()
  assert sorted(re.findall(r"^\| `(\w+)`", guide, re.MULTILINE)) == sorted(EVALUATED)


@pytest.fixture
def registries_as_before():
  registries = (READERS, IMAGE_ENCODERS, OBJECTIVES, BASELINES)
  before = [dict(registry) for registry in registries]
  yield
  for registry, entries in zip(registries, before, strict=True):
    registry.clear()
    registry.update(entries)


@pytest.mark.usefixtures("registries_as_before")
@pytest.mark.parametrize("document", RUN, ids=lambda path: path.stem)
def test_python_in_documents_runs(document, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  exec(compile("\n".join(_blocks(document, "python")), str(document), "exec"), {})
