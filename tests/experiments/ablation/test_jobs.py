"""Commands side by side: real processes, which only wait, speak and fail."""

import os
import signal
import threading
import time

import pytest

from experiments.ablation import jobs
from hibio.training.stopping import INTERRUPTED, RunStopped

ACTOR = "tests.experiments.ablation.actor"


def _job(folder, name, *commands):
  return jobs.Job(name, tuple((ACTOR, *command) for command in commands), folder / f"{name}.txt")


def test_one_that_fails_stops_no_other_and_says_why(tmp_path, capfd):
  found = jobs.run(
    [
      _job(tmp_path, "bad", ("fail", "no such gene"), ("write", str(tmp_path / "never"))),
      _job(tmp_path, "good", ("write", str(tmp_path / "one")), ("write", str(tmp_path / "two"))),
    ],
    at_once=1,
  )
  assert [(one.name, one.status, one.said) for one in found] == [
    ("bad", 3, "no such gene"), ("good", 0, ""),
  ]  # fmt: skip
  assert (tmp_path / "two").exists()
  assert not (tmp_path / "never").exists()
  said = capfd.readouterr().err
  assert "ablate 1/2 bad: FAILED with status 3: no such gene" in said
  assert "left" in said


def test_two_run_at_the_same_time_on_cores_of_their_own(tmp_path):
  names = ("left", "right")
  places = [tmp_path / name for name in names]
  # Each waits until the other has begun: one after the other they would never end.
  found = jobs.run(
    [
      _job(tmp_path, name, ("meet", str(own), str(other)))
      for name, own, other in zip(names, places, places[::-1], strict=True)
    ],
    at_once=2,
  )
  assert [one.status for one in found] == [0, 0]
  if len(os.sched_getaffinity(0)) > 1:
    left, right = (set(place.read_text().split()) for place in places)
    assert left
    assert not left & right


def test_a_request_to_stop_reaches_what_runs_and_starts_nothing_more(tmp_path):
  waiting = tmp_path / "begun"

  def stop():
    while not waiting.exists():
      time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)

  threading.Thread(target=stop).start()
  with pytest.raises(RunStopped) as stopped:
    jobs.run(
      [
        _job(tmp_path, "long", ("wait", str(waiting), str(tmp_path / "saved"))),
        _job(tmp_path, "next", ("write", str(tmp_path / "never"))),
      ],
      at_once=1,
    )
  assert stopped.value.code == INTERRUPTED
  assert (tmp_path / "saved").exists()
  assert not (tmp_path / "never").exists()
