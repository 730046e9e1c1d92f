import os
import signal
import subprocess
import sys
import threading

from data_pipelines import leaving
from hibio.training.stopping import Interruption, Patience


def test_a_signal_is_kept_until_asked_for(capfd):
  with Interruption() as interruption:
    assert not interruption.asked(agree=True)
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    assert interruption.asked(agree=False)
    assert interruption.name == "SIGINT"
  said = capfd.readouterr().err
  assert "SIGINT: stopping after this step" in said
  assert "still saving" in said


def test_the_third_signal_ends_at_once():
  code = (
    "import os, signal\n"
    "from hibio.training.stopping import Interruption\n"
    "with Interruption():\n"
    "  for _ in range(3): os.kill(os.getpid(), signal.SIGTERM)\n"
    "  print('still here')"
  )
  ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
  assert ended.returncode == 128 + signal.SIGTERM
  assert b"still here" not in ended.stdout


def test_work_that_lasts_is_left_when_the_time_is_up(monkeypatch, capfd):
  monkeypatch.setattr(leaving, "GRACE_SECONDS", 0.05)
  left = threading.Event()
  with leaving.program(), Interruption() as interruption, interruption.lasting(left.set):
    os.kill(os.getpid(), signal.SIGTERM)
    assert left.wait(5)
  left.clear()
  with Interruption() as interruption, interruption.lasting(left.set):  # as in a notebook
    os.kill(os.getpid(), signal.SIGTERM)
    assert not left.wait(0.3)


def test_patience_ends_with_the_first_piece_that_lasts():
  late = threading.Event()
  with Patience(0.05, late.set) as patience:
    with patience.piece():
      pass
    assert not late.wait(0.2)
    with patience.piece():
      assert late.wait(5)


def test_outside_the_main_thread_handlers_stay_as_they_are():
  before, inside = signal.getsignal(signal.SIGTERM), []

  def run():
    with Interruption() as interruption:
      inside.append((signal.getsignal(signal.SIGTERM), interruption.asked(agree=True)))

  thread = threading.Thread(target=run)
  thread.start()
  thread.join()
  assert inside == [(before, False)]
