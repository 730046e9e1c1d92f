"""A command that does as it is told, for tests of what starts commands."""

import os
import signal
import sys
import time
from pathlib import Path

SECONDS = 60


def wait(begun, saved):
  """Until it is stopped; then it saves."""

  def stop(*_):
    Path(saved).touch()
    sys.exit(75)

  signal.signal(signal.SIGTERM, stop)
  Path(begun).touch()
  time.sleep(SECONDS)


def meet(own, other):
  """Until the other has begun too; writes which cores it runs on."""
  cores = " ".join(map(str, os.sched_getaffinity(0)))
  Path(own).write_text(cores)
  end = time.monotonic() + SECONDS
  while not Path(other).exists():
    if time.monotonic() > end:
      sys.exit(1)
    time.sleep(0.05)


def fail(message):
  """Says something and ends badly."""
  print(f"first this\n{message}", file=sys.stderr)
  sys.exit(3)


def write(path):
  """Leaves a file."""
  Path(path).touch()


if __name__ == "__main__":
  globals()[sys.argv[1]](*sys.argv[2:])
