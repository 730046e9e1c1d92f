"""The one shape every message about bad input takes, and the exit status that goes with it."""

from __future__ import annotations

import difflib
import functools
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

EXIT_USAGE = 2
EXIT_BAD_INPUT = 3


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
    self.fix = fix
    super().__init__(
      f"hibio: {self.file}: {field}: found {found}, expected {expected}. Fix: {fix.rstrip('.')}."
    )

  def __reduce__(self):
    return type(self), (self.file, self.field, self.found, self.expected, self.fix)


def nearest(word: str, known: Iterable[str]) -> str:
  """What somebody who wrote `word` may have meant; empty if nothing is close."""
  return (difflib.get_close_matches(word, list(known), n=1) or [""])[0]


def exits_on_bad_input(main: Callable[..., Any]) -> Callable[..., Any]:
  """Wraps an entry point: a `BadInputError` becomes one line on stderr and exit status 3."""

  @functools.wraps(main)
  def wrapped(*args, **kwargs):
    try:
      return main(*args, **kwargs)
    except BadInputError as problem:
      print(problem, file=sys.stderr)
      sys.exit(EXIT_BAD_INPUT)

  return wrapped
