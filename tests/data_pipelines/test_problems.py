"""What users see of bad input, and of a disk that takes no more."""

import errno
import os
import pickle

import pytest

from data_pipelines.console import say
from data_pipelines.problems import BadInputError, disk_explained, printable


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
