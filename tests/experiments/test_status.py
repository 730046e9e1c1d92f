import json
import shutil

from experiments import status
from hibio.training import metrics
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
  (tmp_path / "run" / "run.json").write_text(json.dumps(record))
  said = status.shown(tmp_path / "run")
  assert "killed: it wrote no end" in said
  assert "newest of step 8" in said
  assert "step 12: state/manifest.ocdbt is missing" in said
  assert "newest of step 12" in status.shown(tmp_path / "run", verify=False)


def test_a_folder_without_a_run_is_one_line(tmp_path):
  done = call("experiments.status", str(tmp_path))
  assert done.returncode == 3
  assert done.stderr.count("\n") == 1
