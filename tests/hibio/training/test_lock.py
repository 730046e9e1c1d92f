import json
import os
import shutil
import socket
import subprocess
import sys

import pytest

from data_pipelines.problems import BadInputError
from hibio.training import lock
from hibio.training.stopping import RunStopped


def test_a_second_run_is_refused_and_told_of_the_first(tmp_path):
  with (
    lock.held(tmp_path),
    pytest.raises(
      RunStopped, match=f"process {os.getpid()} on {socket.gethostname()}, started 2"
    ) as stopped,
    lock.held(tmp_path),
  ):
    pass
  assert stopped.value.code == 73
  with lock.held(tmp_path):
    assert json.loads((tmp_path / lock.NAME).read_text())["pid"] == os.getpid()


def test_the_lock_of_a_killed_run_is_taken_over_with_a_note(tmp_path, capsys):
  code = (
    "import os, signal, pathlib\n"
    "from hibio.training import lock\n"
    f"with lock.held(pathlib.Path({str(tmp_path)!r})):\n"
    "  os.kill(os.getpid(), signal.SIGKILL)"
  )
  killed = subprocess.run([sys.executable, "-c", code], check=False)
  assert killed.returncode == -9
  with lock.held(tmp_path):
    assert "took over from process" in capsys.readouterr().err


def _left_by_another_host(folder, seconds_ago):
  path = folder / lock.NAME
  path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": "2020"}))
  then = path.stat().st_mtime - seconds_ago
  os.utime(path, (then, then))


def test_a_run_on_another_host_is_believed_while_it_shows_signs_of_life(tmp_path):
  _left_by_another_host(tmp_path, seconds_ago=60)
  with pytest.raises(RunStopped, match="process 1 on elsewhere"), lock.held(tmp_path):
    pass


def test_a_run_on_another_host_that_fell_silent_is_taken_over(tmp_path, capsys):
  _left_by_another_host(tmp_path, seconds_ago=2 * lock.SILENCE_SECONDS)
  with lock.held(tmp_path) as alive:
    assert "elsewhere" in capsys.readouterr().err
    os.utime(tmp_path / lock.NAME, (0, 0))
    alive()
  assert (tmp_path / lock.NAME).stat().st_mtime > 1e9


def test_a_lock_that_was_deleted_is_made_anew_with_a_warning(tmp_path, capsys):
  with lock.held(tmp_path) as alive:
    (tmp_path / lock.NAME).unlink()
    alive()
    assert "was deleted while the run was on" in capsys.readouterr().err
    assert str(os.getpid()) in lock.holder(tmp_path)
    with pytest.raises(RunStopped), lock.held(tmp_path):
      pass
  assert not lock.holder(tmp_path)


def test_a_lost_sign_of_life_is_said_once_and_ends_nothing(tmp_path, capsys):
  (tmp_path / "run").mkdir()
  with lock.held(tmp_path / "run") as alive:
    shutil.rmtree(tmp_path / "run")
    alive()
    alive()
  assert capsys.readouterr().err.count("no sign of life") == 1


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 200_000, b"[]", b'{"host": 1}'])
def test_a_lock_that_nobody_can_read_holds_nobody_up(tmp_path, content):
  (tmp_path / lock.NAME).write_bytes(content)
  assert lock.holder(tmp_path) == ""
  with lock.held(tmp_path):
    pass


def test_a_folder_in_the_place_of_the_lock_is_one_line(tmp_path):
  (tmp_path / lock.NAME).mkdir()
  with pytest.raises(BadInputError, match="lock: found no way to write it"), lock.held(tmp_path):
    pass


def test_a_run_that_took_the_place_of_a_deleted_lock_ends_the_first(tmp_path):
  with lock.held(tmp_path) as alive:
    (tmp_path / lock.NAME).unlink()
    with lock.held(tmp_path), pytest.raises(RunStopped) as stopped:
      alive()
  assert stopped.value.code == 73
