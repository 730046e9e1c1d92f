import importlib
import re

import pytest

from experiments import finetuning, hibio
from experiments.cli import COMMANDS
from tests.experiments.conftest import call


@pytest.mark.parametrize("command", list(COMMANDS))
def test_help_of_every_command_lists_its_options_and_an_example_and_no_others(command):
  done = call("experiments.cli", command, "--help")
  assert done.returncode == 0
  assert not done.stderr
  listed = re.findall(r"^  --([\w.]+) ", done.stdout, re.MULTILINE)
  assert 2 < len(listed) < 40
  assert "help" in listed
  assert "verbosity" not in listed
  module = COMMANDS[command].removesuffix(".__main__")
  assert re.search(rf"^ *python -m {module} --", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", list(COMMANDS))
def test_help_says_required_of_the_required_and_of_nothing_that_has_a_default(command):
  said = call("experiments.cli", command, "--help").stdout
  required = set(re.findall(r"^  --(\w+) .*\(required\)$", said, re.MULTILINE))
  flags = importlib.import_module(COMMANDS[command]).FLAGS
  assert required == flags.required
  assert all(flags[name].default is None for name in required)


def test_help_shows_a_default_of_zero():
  assert "  --seed                 Seed of every draw [default: 0]\n" in call(
    "experiments.cli", "synthetic", "--help"
  ).stdout  # fmt: skip


@pytest.mark.parametrize("module", ["pretrain", "finetune", "ablate", "benchmarks.step"])
def test_help_names_a_command_that_lists_the_keys_of_the_config(module):
  said = call(f"experiments.{module}", "--help").stdout
  command = re.search(r"--config\.KEY .*`hibio (.*)` lists them", said)[1]
  assert "--config.training.num_steps=" in call("experiments.cli", *command.split()).stdout


def test_an_unknown_key_of_the_config_is_fixed_by_what_is_advised():
  done = call("experiments.pretrain", "--config.zzzzzz=1")
  assert done.returncode == 3
  assert done.stderr.endswith("Fix: see hibio pretrain --print_config.\n")


def test_help_lists_every_command_with_what_it_is_for():
  done = call("experiments.cli", "--help")
  assert done.returncode == 0
  for command in COMMANDS:
    assert re.search(rf"^  {command} +[A-Z].+\.$", done.stdout, re.MULTILINE), command


def test_a_command_that_does_not_exist_is_one_line_with_the_nearest():
  done = call("experiments.cli", "pertrain")
  assert done.returncode == 2
  assert done.stderr == "hibio: pertrain: no such command. Did you mean pretrain?\n"


def test_all_missing_flags_are_named_at_once():
  done = call("experiments.ablate", "--output=out")
  assert done.returncode == 2
  assert "--presets (" in done.stderr
  assert "--corpus (" in done.stderr
  assert "--output" not in done.stderr
  assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("flags", ["evaluate --checkpoint=none", "ablate --presets=default"])
def test_an_unknown_task_is_refused_before_anything_is_opened(flags):
  command, flag = flags.split()
  done = call(f"experiments.{command}", flag, "--corpus=none", "--output=none", "--tasks=nosuch")
  assert done.returncode == 3
  assert done.stderr.startswith("hibio: --tasks: task: found 'nosuch', expected some of ")


@pytest.mark.parametrize(
  ("command", "config"), [("pretrain", hibio), ("finetune", finetuning)]
)  # fmt: skip
def test_the_config_is_printed_with_a_meaning_of_every_key(command, config):
  done = call(f"experiments.{command}", "--print_config")
  assert done.returncode == 0
  keys = re.findall(r"^--config\.([\w.]+)=(.*)\n    (.*)$", done.stdout, re.MULTILINE)
  values = {key: value for key, value, _ in keys}
  wanted = config.get_config()
  assert values["training.num_steps"] == str(wanted.training.num_steps)
  assert len(keys) == len(done.stdout.splitlines()) / 2 > 30
  assert all(meaning for *_, meaning in keys), [key for key, _, meaning in keys if not meaning]


def test_a_config_that_is_set_is_printed_as_set():
  done = call(
    "experiments.pretrain", "--config=experiments/hibio.py:test", "--print_config",
    "--config.training.learning_rate=0.25",
  )  # fmt: skip
  assert "--config.training.learning_rate=0.25\n" in done.stdout
  assert "--config.synthetic.preset=tiny\n" in done.stdout
