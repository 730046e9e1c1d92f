"""Flags that hold numbers say which of them is none, and signals end a command."""

import signal
import subprocess
import sys

import pytest

from data_pipelines import entry
from data_pipelines.entry import ROOT
from data_pipelines.problems import BadInputError, exits_on_bad_input


def _numbers(*given):
  flags = entry.Flags("about")
  holder = flags.list("side_um", None, "Sides")
  flags(["command", *given])
  return entry.positive_numbers(holder)


def test_numbers_are_read_and_an_empty_list_is_not_a_missing_one():
  assert _numbers("--side_um=400,800.5") == (400.0, 800.5)
  assert _numbers("--side_um=") == ()
  assert _numbers() is None


@pytest.mark.parametrize("bad", ["0", "-4", "many", "4e2", "nan"])
def test_what_is_no_number_above_0_is_refused_by_name(bad):
  with pytest.raises(BadInputError, match=f"--side_um: value: found '{bad}'"):
    _numbers(f"--side_um=400,{bad}")


def _refused(capsys, monkeypatch, *given):
  flags = entry.Flags("about")
  flags.integer("max_genes", None, "Genes")
  flags.float("um_per_px", None, "Micrometres")
  flags.config_file("config", "experiments/hibio.py", "The experiment")
  monkeypatch.setattr("sys.argv", ["command", *given])
  with pytest.raises(SystemExit) as left:
    exits_on_bad_input(entry._parse)(flags)
  return left.value.code, capsys.readouterr().err.strip()


_of_ml_collections = pytest.mark.filterwarnings("ignore:the load_module")


@_of_ml_collections
@pytest.mark.parametrize(("flag", "expected"), [
  ("--max_genes=many", "a whole number"), ("--um_per_px=wide", "a number"),
  ("--config.training.num_steps=many", "a whole number"),
])  # fmt: skip
def test_a_value_of_the_wrong_kind_is_a_wrong_flag_said_in_a_sentence(
  flag, expected, capsys, monkeypatch
):
  name, _, value = flag.partition("=")
  assert _refused(capsys, monkeypatch, flag) == (
    2,
    f"hibio: {name}: found '{value}', expected {expected}.",
  )


@_of_ml_collections
def test_a_misspelt_variant_is_answered_with_the_nearest_one(capsys, monkeypatch):
  status, said = _refused(capsys, monkeypatch, "--config=experiments/hibio.py:test,frozn")
  assert status == 3
  assert said.startswith("hibio: --config: variant: found 'frozn', expected one of default, ")
  assert said.endswith("Fix: write frozen.")


STOPPED = """
import pathlib, sys, time
from data_pipelines import leaving
leaving.GRACE_SECONDS = 0.5
deaf, half = sys.argv[1] == "deaf", pathlib.Path(sys.argv[2])
with leaving.when_asked():
  half.touch()
  try:
    while True:
      try:
        print("begun", flush=True)
        time.sleep(60)
      except SystemExit:
        if not deaf:
          raise
  finally:
    half.unlink()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("ears", ["hears", "deaf"])
def test_a_signal_ends_a_command_with_75_and_unwinds_it_unless_it_does_not_answer(
  tmp_path, ears, number
):
  half = tmp_path / "half"
  with subprocess.Popen(
    [sys.executable, "-c", STOPPED, ears, str(half)],
    cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
  ) as work:  # fmt: skip
    assert work.stdout.readline() == "begun\n"
    work.send_signal(number)
    assert work.wait(timeout=20) == 75
    said = work.stderr.read().splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"hibio: {number.name}: stopping; what is finished is kept")
  assert half.exists() == (ears == "deaf")
