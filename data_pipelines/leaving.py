"""How a command leaves when SIGTERM or SIGINT asks it to, whatever it is doing at that moment."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

from data_pipelines.problems import EXIT_INTERRUPTED

GRACE_SECONDS = 10.0
"""How long a command may go on with what it cannot break off, such as compiling."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(SystemExit):
  """Ends the program with status `code` unless somebody catches it; `message` says why."""

  def __init__(self, code: int, message: str):
    super().__init__(code)
    self.message = message

  def __str__(self) -> str:
    return self.message


class Signals:
  """While entered, the first signal asks, the second is noted, the third ends at once.

  Python hears of a signal when the main thread next runs Python, which compiled code may put off
  for minutes. So a thread of its own counts them as well. Outside the main thread, where handlers
  cannot be set, nothing happens.

  Attributes:
    name: of the first signal; empty as long as there was none.

  Args:
    asked: called in the main thread on the first signal; may raise.
    overdue: called in a thread of its own if `GRACE_SECONDS` later the main thread is still inside.
    first: said at the first signal, after its name.
    second: said at the second.
  """

  def __init__(
    self, asked: Callable[[], None], overdue: Callable[[], None], first: str, second: str
  ):
    self.name = ""
    self._asked, self._overdue = asked, overdue
    self._said = {1: first, 2: second}
    self._heard = 0
    self._inside: contextlib.ExitStack | None = None

  def __enter__(self) -> Signals:
    if threading.current_thread() is not threading.main_thread():
      return self
    with contextlib.ExitStack() as inside:
      reader, writer = socket.socketpair()
      inside.callback(reader.close)
      listening = threading.Thread(target=self._listen, args=(reader,), daemon=True)
      inside.callback(listening.join)
      inside.callback(writer.close)  # which ends the thread
      writer.setblocking(False)
      for number in _SIGNALS:
        before = signal.signal(number, self._handle)
        inside.callback(signal.signal, number, before or signal.SIG_DFL)
      before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
      inside.callback(signal.set_wakeup_fd, before)
      listening.start()
      self._inside = inside.pop_all()
    return self

  def __exit__(self, *_) -> None:
    if self._inside is not None:
      self._inside.close()

  def _handle(self, number: int, _) -> None:
    self.name = self.name or signal.Signals(number).name
    self._heard += 1
    if self._heard == 1:
      self._asked()
    elif self._heard > 2:
      os._exit(128 + number)

  def _listen(self, reader: socket.socket) -> None:
    """Counts signals until the other end is closed."""
    count, deadline = 0, None
    while True:
      left = None if deadline is None else max(deadline - time.monotonic(), 0)
      if not select.select([reader], [], [], left)[0]:
        deadline = None
        threading.Thread(target=self._overdue, daemon=True).start()
        continue
      if not (got := reader.recv(64)):
        return
      for number in filter(_SIGNALS.__contains__, got):
        count += 1
        if count == 1:
          self.name = self.name or signal.Signals(number).name
          deadline = time.monotonic() + GRACE_SECONDS
        elif count > 2:
          os._exit(128 + number)
        say_at_once(f"hibio: {self.name}: {self._said[count]}")


@contextlib.contextmanager
def when_asked(clear: Callable[[], None] = lambda: None) -> Iterator[None]:
  """Inside, the first signal breaks off what is being done, wherever it is, and ends the command.

  Args:
    clear: called before the process ends without unwinding, where it cannot be broken off.

  Raises:
    Stopped: status 75.
  """

  def break_off() -> None:
    raise Stopped(EXIT_INTERRUPTED, "")

  def end() -> None:
    clear()
    end_at_once(EXIT_INTERRUPTED)

  first = "stopping; what is finished is kept, and the same command goes on from there"
  with Signals(break_off, end, first, "still stopping; once more ends at once"):
    yield


_programs = 0
"""How many are entered."""


@contextlib.contextmanager
def program() -> Iterator[None]:
  """Around a whole program: threads that libraries left behind do not keep it from ending."""
  global _programs
  status = [0]

  def end() -> None:
    threading.main_thread().join()
    time.sleep(GRACE_SECONDS)
    end_at_once(status[0])

  threading.Thread(target=end, daemon=True).start()
  _programs += 1
  try:
    yield
  except BaseException as problem:
    code = problem.code if isinstance(problem, SystemExit) else 1
    status[0] = code if isinstance(code, int) else int(code is not None)
    raise
  finally:
    _programs -= 1
    _forget_unwritten_log()


def _forget_unwritten_log() -> None:
  """Else Python ends with a status of its own where the last lines on stderr cannot be written."""
  try:
    sys.stderr.flush()
  except OSError:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def is_program() -> bool:
  """Whether this process is ours to end; a notebook's is not."""
  return _programs > 0


def end_at_once(code: int) -> None:
  """Ends the process with what was printed printed, and nothing else tidied up."""
  for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(Exception):
      stream.flush()
  os._exit(code)


def say_at_once(line: str) -> None:
  """On stderr, from any thread; not by print, in the middle of which a signal may have come."""
  with contextlib.suppress(OSError, ValueError):
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"{line}\n".encode())
