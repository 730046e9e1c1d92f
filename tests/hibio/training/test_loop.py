import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from data_pipelines import files
from data_pipelines.problems import BadInputError
from hibio.training import guard, metrics, recent
from hibio.training.checkpoints import Checkpoints
from hibio.training.stopping import RunStopped
from tests.hibio.training import toy

CLOCK = ("pairs_per_second", "seconds", "data_wait_share")


def _held_out(params, tables):
  return {"loss/spot": float(params["up"]["bias"].sum()), "regions": int(tables.regions.sum())}


def _lines(folder):
  """What `metrics.jsonl` says, without what depends on the clock."""
  return [{k: v for k, v in line.items() if k not in CLOCK} for line in metrics.read(folder)]


def _same(left, right):
  for one, other in zip(toy.leaves(left.params), toy.leaves(right.params), strict=True):
    np.testing.assert_array_equal(one, other)
  np.testing.assert_array_equal(left.regions, right.regions)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """A run of six steps over a stage boundary and two refreshes, never stopped."""
  folder = tmp_path_factory.mktemp("whole")
  return folder, toy.train(folder, evaluate=_held_out, training=toy.config(evaluate_every=3))


@pytest.fixture
def copied(whole, tmp_path):
  shutil.copytree(whole[0], tmp_path / "run")
  return tmp_path / "run"


def test_a_line_says_all_there_is_to_know_of_a_step(whole):
  lines = metrics.read(whole[0])
  assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
  assert [line["stage"] for line in lines] == ["spot"] * 3 + ["region"] * 3
  assert [line["weight/region"] for line in lines] == [0.0] * 3 + [0.5] * 3
  wanted = {"loss", "loss/spot", "learning_rate", "skipped", "gradient_norm", *CLOCK}
  assert all(wanted <= line.keys() for line in lines)
  assert [line["step"] for line in lines if "held_out/loss/spot" in line] == [3, 6]
  refreshed = [line for line in lines if "regions/agreement_level_1" in line]
  assert [line["step"] for line in refreshed] == [5, 6]
  # Regions of the toy hold four spots each at the finer level and eight at the coarser one.
  for name, value in (("number_level_1", 8), ("number_level_2", 4), ("median_size_level_2", 8)):
    assert [line[f"regions/{name}"] for line in refreshed] == [value] * 2


def test_the_parts_of_a_run_sum_to_its_wall_time(tmp_path):
  begun = time.monotonic()
  toy.train(tmp_path, evaluate=_held_out, training=toy.config(evaluate_every=3))
  passed = time.monotonic() - begun
  seconds = json.loads((tmp_path / "run.json").read_text())["history"][-1]["seconds"]
  whole = seconds.pop("all")
  named = {"set-up", "data", "compile", "step", "evaluate", "refresh", "checkpoint", "other"}
  assert seconds.keys() == named
  assert sum(seconds.values()) == pytest.approx(whole, rel=0.01)
  assert whole == pytest.approx(passed, rel=0.01, abs=0.5)  # a busy machine
  assert seconds["other"] < 0.1 * whole


def test_compilation_is_announced_once_with_an_estimate_and_what_it_took(tmp_path, capsys):
  toy.train(tmp_path, evaluate=_held_out, training=toy.config(evaluate_every=3))
  said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("compiling")]
  assert [line.split(":")[0] for line in said] == [
    "compiling the training step", "compiling the training step",
    "compiling the evaluation of held-out donors", "compiling the evaluation of held-out donors",
  ]  # fmt: skip
  assert "usually" in said[0]
  assert "took" in said[1]


@pytest.mark.parametrize("at", [3, 5])  # before the stage boundary; between two refreshes
def test_stopped_by_a_signal_it_saves_and_goes_on_bit_for_bit(whole, tmp_path, at):
  def drawn_and_stopped(step):
    for number, batch in enumerate(toy.batches(step), step + 1):
      if number == at:
        os.kill(os.getpid(), signal.SIGTERM)
      yield batch

  before = signal.getsignal(signal.SIGTERM)
  config = toy.config(evaluate_every=3, checkpoint_every=100)
  with pytest.raises(RunStopped, match=f"SIGTERM stopped it at step {at}, which") as stopped:
    toy.train(tmp_path, batches=drawn_and_stopped, training=config, evaluate=_held_out)
  assert stopped.value.code == 75
  assert signal.getsignal(signal.SIGTERM) is before
  result = toy.train(tmp_path, training=config, evaluate=_held_out)
  _same(result, whole[1])
  assert _lines(tmp_path) == _lines(whole[0])  # at step 3 with the look that the stop put off
  history = json.loads((tmp_path / "run.json").read_text())["history"]
  assert [(entry["step"], entry["ended"]) for entry in history] == [
    (0, "interrupted"),
    (at, "finished"),
  ]


def test_a_step_that_does_not_fit_into_memory_is_one_line_that_says_what_to_lower(tmp_path):
  def batches(step):
    yield from itertools.islice(toy.batches(step), 2)
    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes.\n...")

  with pytest.raises(BadInputError, match=r"windows_per_batch: found 4, which .* 8 bytes") as said:
    toy.train(tmp_path, batches=batches)
  assert "raise training.accumulation" in str(said.value)
  history = json.loads((tmp_path / "run.json").read_text())["history"]
  assert history[-1]["ended"] == "failed (JaxRuntimeError)"


def test_killed_between_commit_and_seal_it_goes_on_from_the_checkpoint_before(whole, tmp_path):
  code = (
    "import os, pathlib, signal\n"
    "from tests import conftest\n"
    "from hibio.training import intact\n"
    "from tests.hibio.training import toy\n"
    "seal = intact.seal\n"
    "def kill(folder):\n"
    "  os.kill(os.getpid(), signal.SIGKILL) if folder.name == '4' else seal(folder)\n"
    "intact.seal = kill\n"
    f"toy.train(pathlib.Path({str(tmp_path)!r}))"
  )
  killed = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
  assert killed.returncode == -9, killed.stderr.decode()
  assert sorted(os.listdir(tmp_path / "checkpoints")) == ["2", "4"]
  said = []
  _same(toy.train(tmp_path, batches=lambda step: said.append(step) or toy.batches(step)), whole[1])
  assert said == [2]
  assert [line["step"] for line in metrics.read(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_a_finished_run_started_again_takes_no_step(copied, whole):
  def never(step):
    raise AssertionError("no data is needed")

  _same(toy.train(copied, batches=never), whole[1])


def test_another_mesh_may_go_on(copied, whole):
  shutil.rmtree(copied / "checkpoints" / "6")
  result = toy.train(copied, training=toy.config(mesh=(2, 1, 2), evaluate_every=0))
  for one, other in zip(toy.leaves(result.params), toy.leaves(whole[1].params), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)  # sums in another order
  np.testing.assert_array_equal(result.regions, whole[1].regions)


def test_another_config_is_refused_by_key_with_both_values(copied):
  with pytest.raises(BadInputError, match=r"training\.learning_rate: found 0\.1 asked for") as bad:
    toy.train(copied, training=toy.config(learning_rate=0.1))
  assert "0.05, which the run in this work directory began with" in str(bad.value)
  (copied / "config.json").unlink()  # then the checkpoint itself says so
  with pytest.raises(BadInputError, match=r"training\.learning_rate"):
    toy.train(copied, training=toy.config(learning_rate=0.1))


@pytest.mark.parametrize("name", ["run.json", "config.json"])
def test_a_damaged_record_is_set_aside_and_written_anew_and_the_run_goes_on(
  copied, whole, name, capsys
):
  path = copied / name
  raw = path.read_bytes()
  for content in (raw[: len(raw) // 2], raw.replace(b"1", b"3", 1), b"[]", b"[" * 200_000, b"\xff"):
    path.write_bytes(content)
    _same(toy.train(copied, training=toy.config(evaluate_every=3)), whole[1])
    assert f"{name}: a file that has changed since it was written" in capsys.readouterr().err
    assert path.with_name(f"damaged-{name}").read_bytes() == content
    files.unsealed(path.read_bytes())
  path.write_bytes(b"{}")
  with pytest.raises(
    BadInputError, match=r"training\.learning_rate"
  ):  # each checkpoint says so too
    toy.train(copied, training=toy.config(evaluate_every=3, learning_rate=0.1))


def test_a_save_ends_a_line_so_that_none_is_lost_with_the_steps_before_it(tmp_path):
  config = toy.config(log_every=5, checkpoint_every=2)
  toy.train(tmp_path / "whole", training=config)
  with pytest.raises(ZeroDivisionError):
    toy.train(tmp_path / "run", batches=_failing_at(3), training=config)
  toy.train(tmp_path / "run", training=config)
  assert _lines(tmp_path / "run") == _lines(tmp_path / "whole")
  assert [line["step"] for line in metrics.read(tmp_path / "run")] == [1, 2, 4, 5, 6]


def test_another_corpus_is_refused(copied):
  other = toy.CORPUS | {"fingerprint": "f" * 16}
  with pytest.raises(BadInputError, match=r"corpus\.fingerprint"):
    toy.train(copied, corpus=other)


def _some_spoilt(steps):
  def batches(step):
    for number, batch in enumerate(toy.batches(step), step):
      yield toy.spoilt(batch) if number in steps else batch

  return batches


def test_bad_batches_are_skipped_and_counted(tmp_path):
  result = toy.train(tmp_path, batches=_some_spoilt({1, 4}), training=toy.config(log_every=2))
  assert (result.step, result.skipped) == (6, 2)
  assert all(np.isfinite(leaf).all() for leaf in toy.leaves(result.params))
  lines = metrics.read(tmp_path)
  assert [line["skipped"] for line in lines] == [0, 1, 1, 2]
  assert [line["loss"] is None for line in lines] == [False, True, False, False]


def test_many_bad_batches_in_a_row_end_the_run_and_say_which_spots(tmp_path, monkeypatch):
  monkeypatch.setattr(guard, "MAX_SKIPPED_IN_A_ROW", 3)
  with pytest.raises(RunStopped, match="3 steps in a row, up to step 4") as stopped:
    toy.train(tmp_path, batches=_some_spoilt({1, 2, 3}))
  assert stopped.value.code == 76
  dump = json.loads((tmp_path / "nan_dump" / "step-4.json").read_text())
  assert dump["metrics"]["loss"] is None
  assert len(dump["spot_index"]) == int(next(toy.batches(0)).spot_mask.sum())


def test_a_skipped_step_is_told_with_its_spots_and_too_many_recently_end_the_run(
  tmp_path, monkeypatch, capsys
):
  monkeypatch.setattr(guard, "MAX_SKIPPED_RECENTLY", 1)
  with pytest.raises(RunStopped, match="2 of the last 4 steps, up to step 4") as stopped:
    toy.train(tmp_path, batches=_some_spoilt({1, 3}))
  assert stopped.value.code == 76
  assert "step 2 was skipped: its loss or gradient is not finite" in capsys.readouterr().err
  assert json.loads((tmp_path / "nan_dump" / "step-2.json").read_text())["sections"] == ["1", "a"]


def test_a_spike_is_skipped_and_told(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(recent, "ENOUGH", 3)

  def with_spike(step):
    for number, batch in enumerate(toy.batches(step), step):
      counts = np.asarray(batch.counts) * (1000 if number == 4 else 1)
      yield batch.replace(counts=counts.astype(np.int32))

  result = toy.train(tmp_path, batches=with_spike)
  assert result.skipped == 0
  assert "step 5 was skipped: its gradient's norm of" in capsys.readouterr().err
  assert [line["spikes"] for line in metrics.read(tmp_path)] == [0, 0, 0, 0, 1, 1]


_STUCK = """
import pathlib, sys, threading
from tests import conftest
from hibio.training import lock
from tests.hibio.training import toy
def batches(step):
  for number, batch in enumerate(toy.batches(step), step):
    if number == 3:
      threading.Event().wait()
    yield batch
toy.train(pathlib.Path(sys.argv[1]), batches=batches, training=toy.config(data_patience=1.0))
"""


def test_a_loader_that_hangs_ends_the_run_with_every_stack_and_what_was_learned(whole, tmp_path):
  done = subprocess.run(
    [sys.executable, "-c", _STUCK, tmp_path], check=False, capture_output=True, text=True
  )
  assert done.returncode == 78, done.stderr
  assert 'File "<string>"' in done.stderr
  assert "no batch came for 1 s after step 3" in done.stderr.splitlines()[-1]
  assert [line["step"] for line in metrics.read(tmp_path)] == [1, 2, 3]
  _same(toy.train(tmp_path, training=toy.config(data_patience=1.0)), whole[1])


def test_what_was_lost_and_what_every_start_took_is_kept(tmp_path):
  with pytest.raises(ZeroDivisionError):
    toy.train(tmp_path, batches=_failing_at(5))
  toy.train(tmp_path)
  first, second = json.loads((tmp_path / "run.json").read_text())["history"]
  assert (first["ended"], first["last_step"]) == ("failed (ZeroDivisionError)", 5)
  assert first["lost"] == {"steps": 0, "seconds": 0.0}
  assert (second["step"], second["lost"]["steps"]) == (4, 1)
  assert 0 < second["lost"]["seconds"] < first["seconds"]["all"]


def _failing_at(at):
  def batches(step):
    for number, batch in enumerate(toy.batches(step), step):
      yield batch if number < at else 1 / 0

  return batches


def test_a_full_disk_is_refused_before_anything_is_made(tmp_path, monkeypatch):
  usage = shutil.disk_usage(tmp_path)._replace(free=100)
  monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
  with pytest.raises(BadInputError, match=r"100 bytes free, expected [\d,]+ bytes"):
    toy.train(tmp_path)


def test_a_run_that_cannot_save_trains_on_and_then_says_so(tmp_path, monkeypatch):
  trained = []

  def fail(self, state, regions, meta):
    trained.append(int(state.step))
    self.failed_in_a_row += 1

  monkeypatch.setattr(Checkpoints, "save", fail)
  with pytest.raises(RunStopped, match="3 checkpoint") as stopped:
    toy.train(tmp_path, training=toy.config(checkpoint_every=1))
  assert stopped.value.code == 74
  assert trained == [1, 2, 3]


def test_a_work_directory_that_cannot_be_written_is_refused_before_anything_is_made(tmp_path):
  (tmp_path / "file").write_text("")

  def never():
    raise AssertionError("too late")

  with pytest.raises(BadInputError, match="no way to write there"):
    toy.train(tmp_path / "file" / "run", init=never)
