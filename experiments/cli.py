"""One command for all: `hibio COMMAND --flag=value ...`, the same as `python -m experiments.cli`.

  hibio pretrain --config=experiments/hibio.py:test --config.workdir=runs/first

`hibio COMMAND --help` lists the options of a command.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys

import hibio
from data_pipelines import entry
from data_pipelines.problems import EXIT_USAGE, nearest

COMMANDS = {
  "doctor": "experiments.doctor",
  "synthetic": "data_pipelines.synthetic.__main__",
  "inspect": "data_pipelines.inspect",
  "prepare": "data_pipelines.prepare",
  "encoders": "experiments.encoders",
  "extract": "experiments.extract",
  "pretrain": "experiments.pretrain",
  "status": "experiments.status",
  "finetune": "experiments.finetune",
  "embed": "experiments.embed",
  "evaluate": "experiments.evaluate",
  "ablate": "experiments.ablate",
  "summary": "experiments.summary",
  "release": "experiments.release",
}
"""Name -> the module that `python -m` runs, in the order of the data flow."""


def main() -> None:
  asked = sys.argv[1] if len(sys.argv) > 1 else "--help"
  if asked == "--version":
    print(f"hibio {hibio.__version__}")
  elif asked in ("--help", "-h", "help"):
    print(_overview())
  elif asked in COMMANDS:
    sys.argv = [f"hibio {asked}", *sys.argv[2:]]
    module = importlib.import_module(COMMANDS[asked])
    entry.run(module.main, module.FLAGS)
  else:
    near = nearest(asked, COMMANDS)
    print(f"hibio: {asked}: no such command.{near and f' Did you mean {near}?'}", file=sys.stderr)
    sys.exit(EXIT_USAGE)


def _overview() -> str:
  lines = [f"  {name:<10} {_first_line(module)}" for name, module in COMMANDS.items()]
  return "\n".join([__doc__.strip(), "", "Commands:", "", *lines])


def _first_line(module: str) -> str:
  """Of the docstring; read from the source, as importing takes seconds."""
  source = importlib.util.find_spec(module).loader.get_source(module)
  return ast.get_docstring(ast.parse(source)).partition("\n")[0]


if __name__ == "__main__":
  main()
