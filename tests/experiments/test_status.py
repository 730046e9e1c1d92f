import json
import os
import shutil

from data_pipelines import files
from experiments import status
from hibio.training import lock, metrics
from tests.experiments.conftest import call


def test_a_finished_run_is_one_screen(workdir):
  done = call("experiments.status", str(workdir))
  assert done.returncode == 0
  said = dict(line.split(None, 1) for line in done.stdout.splitlines())
  assert said["run"].endswith("run: finished")
  assert said["step"].startswith("12 of 12, stage region, loss ")
  assert "whole, the newest of step 12" in said["checkpoints"]
  assert "compile" in said["goodput"]
  assert (said["skipped"], said["alarms"]) == ("0 not finite, 0 spikes", "none")


def test_the_parts_of_a_run_account_for_its_wall_time(workdir):
  seconds = json.loads((workdir / "run.json").read_text())["history"][0]["seconds"]
  whole = seconds.pop("all")
  assert {"start", "set-up", "compile", "step", "readout", "figures"} <= seconds.keys()
  assert abs(sum(seconds.values()) - whole) < 0.01 * whole
  assert seconds["other"] < 0.1 * whole
  lines = [line["seconds"] for line in metrics.read(workdir)]
  assert min(lines) > 0
  assert sum(lines) < whole  # each line's own time


def test_damaged_checkpoints_and_a_run_that_was_killed_are_told(workdir, tmp_path):
  shutil.copytree(workdir, tmp_path / "run")
  (tmp_path / "run" / "checkpoints" / "12" / "state" / "manifest.ocdbt").unlink()
  record = json.loads((tmp_path / "run" / "run.json").read_text())
  del record["history"][-1]["ended"]
  record.pop(files.SEAL)
  (tmp_path / "run" / "run.json").write_bytes(files.sealed(record))
  said = status.shown(tmp_path / "run")
  assert "killed: it wrote no end" in said
  assert "newest of step 8" in said
  assert "step 12: state/manifest.ocdbt is missing" in said
  assert "newest of step 12" in status.shown(tmp_path / "run", verify=False)


def test_what_a_killed_run_will_do_again_is_no_goodput(workdir, tmp_path):
  shutil.copytree(workdir, tmp_path / "run")
  shutil.rmtree(tmp_path / "run" / "checkpoints" / "12")
  lost = sum(line["seconds"] for line in metrics.read(workdir) if line["step"] > 8)
  before, after = (dict(_said(status.shown(of))) for of in (workdir, tmp_path / "run"))
  assert "; 4 steps behind it will be taken again" in after["checkpoints"]
  assert "lost work" in after["goodput"] or lost < 0.5
  assert int(after["goodput"].split()[0]) <= int(before["goodput"].split()[0])


def test_a_run_that_is_on_says_so_and_what_it_writes_may_be_torn(workdir, tmp_path):
  shutil.copytree(workdir, tmp_path / "run")
  with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
    file.write('{"step": 13}\n{"step": ')
  with lock.held(tmp_path / "run"):
    said = dict(_said(status.shown(tmp_path / "run")))
  assert f"running, process {os.getpid()} on" in said["run"]
  assert said["step"].startswith("13 of 12 (0:0")
  assert said["starts"].endswith("running)")


def test_a_damaged_record_is_one_line(workdir, tmp_path):
  shutil.copytree(workdir, tmp_path / "run")
  (tmp_path / "run" / "run.json").write_text('{"history": []}')
  done = call("experiments.status", str(tmp_path / "run"))
  assert done.returncode == 3
  assert "run.json: content: found a file that has changed" in done.stderr


def _said(text):
  return (line.split(None, 1) for line in text.splitlines())


def test_a_folder_without_a_run_is_one_line(tmp_path):
  done = call("experiments.status", str(tmp_path))
  assert done.returncode == 3
  assert done.stderr.count("\n") == 1
