"""What users see of bad input, and of a disk that takes no more."""

import errno
import os
import pickle
import subprocess
import sys

import pytest

from data_pipelines.console import say
from data_pipelines.problems import BadInputError, disk_explained, exits_on_bad_input, printable


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_log_that_takes_no_more_changes_neither_the_work_nor_the_exit_status():
  code = (
    "from data_pipelines import console, leaving\n"
    "with leaving.program():\n"
    "  console.say('step 1')\n"
    "  print('worked on')\n"
    "  raise SystemExit(75)"
  )
  with open("/dev/full", "wb") as full:
    done = subprocess.run([sys.executable, "-c", code], stdout=-1, stderr=full, check=False)
  assert (done.returncode, done.stdout) == (75, b"worked on\n")


@pytest.mark.parametrize(
  "error",
  [MemoryError("Unable to allocate 40. GiB"), RuntimeError("RESOURCE_EXHAUSTED: Out of memory")],
)
def test_memory_that_runs_out_is_one_line_and_a_full_disk_is_not_taken_for_it(error, capsys):
  @exits_on_bad_input
  def fails(error):
    raise error

  with pytest.raises(SystemExit) as ended:
    fails(error)
  assert ended.value.code == 3
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith(f"hibio: memory: size: found {error}, expected room")
  with pytest.raises(RuntimeError):
    fails(RuntimeError("RESOURCE_EXHAUSTED: write: No space left on device"))


def test_a_message_shows_what_a_terminal_would_obey_and_is_one_short_line():
  hostile = "\x1b]0;owned\x07\x1b[2J\u202eD1\nhibio: all is well"
  problem = BadInputError("m.csv", "donor", repr(hostile), hostile, "9" * 5_000_000)
  text = str(problem)
  assert text.isprintable()
  assert r"\x1b]0;owned\x07" in text
  assert len(text) < 2000
  assert "5,000,000 characters" in text
  assert str(pickle.loads(pickle.dumps(problem))) == text
  assert printable("112 µm, naïve, 細胞") == "112 µm, naïve, 細胞"


def test_what_is_said_cannot_steer_a_terminal(capsys):
  say("donor \x1b[31mred\x1b[0m\nsecond line")
  assert capsys.readouterr().err == "donor \\x1b[31mred\\x1b[0m\nsecond line\n"


def failing(number, path=None):
  return OSError(number, os.strerror(number), path)


@pytest.mark.parametrize(
  ("problem", "said"),
  [
    (failing(errno.ENOSPC), "out: disk: found no room left .*expected 5 GB"),
    (failing(errno.EDQUOT), "out: disk: found no room left"),
    (failing(errno.EROFS, "out/a.npz"), "out/a.npz: --output: found not writable"),
  ],
)
def test_a_disk_that_takes_no_more_is_one_clear_line(problem, said):
  with pytest.raises(BadInputError, match=said), disk_explained("out", "--output", "5 GB"):
    raise problem


def test_other_trouble_with_files_stays_what_it_is():
  for problem in (failing(errno.EACCES, "input/slide.tif"), failing(errno.EIO, "out/a.npz")):
    with pytest.raises(OSError, match=problem.strerror), disk_explained("out", "--output", "5 GB"):
      raise problem


def test_a_file_that_cannot_be_read_or_written_is_one_line_and_other_trouble_is_not_hidden(capsys):
  def replaced_by_a_folder():
    error = IsADirectoryError(errno.EISDIR, "Is a directory", "out/.a.partial", None, "out/a.npz")
    raise error

  with pytest.raises(SystemExit) as ended:
    exits_on_bad_input(replaced_by_a_folder)()
  assert ended.value.code == 3
  said = capsys.readouterr().err
  assert said.startswith(
    "hibio: out/a.npz: file: found no way to read or write it (Is a directory)"
  )
  assert said.count("\n") == 1

  def of_no_file():
    raise OSError(errno.ENOMEM, "Cannot allocate memory")

  with pytest.raises(OSError, match="allocate"):
    exits_on_bad_input(of_no_file)()
