"""The one shape every message about bad input takes, and the exit status that goes with it."""

from __future__ import annotations

import contextlib
import difflib
import errno
import functools
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

EXIT_USAGE = 2
EXIT_BAD_INPUT = 3
EXIT_INTERRUPTED = 75
"""Asked to stop; the same command goes on from there."""

_LONGEST = 600
"""Characters of what was found that are shown: a cell may have millions."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS)


class BadInputError(ValueError):
  """Something a user handed over cannot be used; the message says what to do about it.

  Args:
    file: the file or folder at fault, or the flag that named it.
    field: what in it is wrong: a column, a key, a count.
    found: what is there.
    expected: what should be there.
    fix: a command or an edit that mends it.
  """

  def __init__(self, file: str | os.PathLike, field: str, found: str, expected: str, fix: str):
    self.file, self.field = os.fspath(file), field
    self.found, self.expected, self.fix = found, expected, fix
    file, field, found, expected, fix = map(
      _shown, (self.file, field, found, expected, fix.rstrip("."))
    )
    end = "" if fix.endswith("?") else "."
    super().__init__(f"hibio: {file}: {field}: found {found}, expected {expected}. Fix: {fix}{end}")

  def __reduce__(self):
    return type(self), (self.file, self.field, self.found, self.expected, self.fix)


def printable(text: str) -> str:
  """The text on one line, with what a terminal would obey, such as colours, written out."""
  return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _shown(text: str) -> str:
  short = printable(text[:_LONGEST])
  return short if len(text) <= _LONGEST else f"{short}... ({len(text):,} characters)"


@contextlib.contextmanager
def disk_explained(output: str | os.PathLike, flag: str, needed: str) -> Iterator[None]:
  """Says in one line that what is written there has no room, or may not be written.

  Args:
    output: folder that is written to.
    flag: that names it.
    needed: how much room there should be, in words.

  Raises:
    BadInputError: the disk is full, or not ours to write to.
  """
  try:
    yield
  except (OSError, RuntimeError) as error:
    number = getattr(error, "errno", None)
    # HDF5 says it in words, in an error of its own.
    if number in _FULL or os.strerror(errno.ENOSPC) in str(error):
      raise BadInputError(
        output, "disk", f"no room left ({os.strerror(number or errno.ENOSPC)})", needed,
        "free some space and run the same command again; what is finished is kept",
      ) from error  # fmt: skip
    if number in _NOT_OURS and file_of(error).startswith(os.fspath(output)):
      raise BadInputError(
        file_of(error), flag, f"not writable ({error.strerror})",
        "a folder that can be written to",
        f"give another {flag}, or ask for the right to write there",
      ) from error  # fmt: skip
    raise


def file_of(error: OSError) -> str:
  """The file at fault; of a rename, what was to be replaced. Empty where the system names none."""
  return str(error.filename2 or error.filename or "")


def of_a_file(error: OSError) -> BadInputError | None:
  """What to say of a file that cannot be read or written, such as one that a folder stands in for.

  None where the error is about something else.
  """
  if not file_of(error):
    return None
  return BadInputError(
    file_of(error), "file", f"no way to read or write it ({error.strerror or error})",
    "a file or folder that can be used",
    "see what lies there, and who may use it; then run the same command again",
  )  # fmt: skip


def is_out_of_memory(error: BaseException) -> bool:
  """Whether this is about memory, of the machine or of an accelerator; a full disk is not."""
  # XLA's exception is a RuntimeError like many others.
  return isinstance(error, MemoryError) or bool(
    re.match(r"RESOURCE_EXHAUSTED.*(memory|allocat)", str(error), re.IGNORECASE | re.DOTALL)
  )


def nearest(word: str, known: Iterable[str]) -> str:
  """What somebody who wrote `word` may have meant; empty if nothing is close."""
  return (difflib.get_close_matches(word, list(known), n=1) or [""])[0]


def exits_on_bad_input(main: Callable[..., Any]) -> Callable[..., Any]:
  """Wraps an entry point: a `BadInputError` becomes one line on stderr and exit status 3.

  So do memory that runs out, and a file that cannot be read or written.
  """

  @functools.wraps(main)
  def wrapped(*args, **kwargs):
    try:
      return main(*args, **kwargs)
    except BadInputError as problem:
      print(problem, file=sys.stderr)
    except OSError as error:
      if (problem := of_a_file(error)) is None:
        raise
      print(problem, file=sys.stderr)
    except (MemoryError, RuntimeError) as error:
      if not is_out_of_memory(error):
        raise
      what = (str(error) or "no more to be had").splitlines()[0]
      print(
        BadInputError(
          "memory", "size", what, "room for what was asked for",
          "ask for less at a time, or use a machine with more of it",
        ),
        file=sys.stderr,
      )  # fmt: skip
    sys.exit(EXIT_BAD_INPUT)

  return wrapped
