"""A line of the table: what was done, and whether it came out as it must."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator

from data_pipelines.console import say


@dataclasses.dataclass(frozen=True)
class Row:
  """One fault.

  Attributes:
    kind: of fault, e.g. "kill -9 in training".
    fault: what was done.
    problem: how it differs from what must be; empty if it does not.
    skipped: why it could not be tried here; empty if it was.
    measured: what was measured on the way, in words.
  """

  kind: str
  fault: str
  problem: str
  seconds: float
  skipped: str = ""
  measured: str = ""

  @property
  def status(self) -> str:
    return "skipped" if self.skipped else "FAILED" if self.problem else "passed"

  @property
  def about(self) -> str:
    """The fault, and what there is to say of it."""
    said = (self.kind, self.fault, self.problem or self.skipped or self.measured)
    return ": ".join(filter(None, said))


class Wrong(Exception):
  """What came out is not what must."""


class Skip(Exception):
  """The fault cannot be made on this machine."""


def must(condition: bool, otherwise: str) -> None:
  """Raises `Wrong` unless the condition holds."""
  if not condition:
    raise Wrong(otherwise)


@dataclasses.dataclass(frozen=True)
class Attempt:
  """Faults to be made one after another, in what the one before has left.

  Attributes:
    work: comes back after each fault that came out as it must, with what was measured, in words, or
      None; raises `Wrong` or `Skip` at others.
  """

  kind: str
  faults: tuple[str, ...]
  work: Callable[[], Iterator[str | None]]


def single(kind: str, fault: str, work: Callable[[], str | None]) -> Attempt:
  """One fault alone."""

  def works() -> Iterator[str | None]:
    yield work()

  return Attempt(kind, (fault,), works)


def tried(attempt: Attempt) -> list[Row]:
  """What came of each, said as soon as it is over; behind one that went wrong none is reached."""
  rows, work = [], attempt.work()
  for fault in attempt.faults:
    begun, problem, skipped, measured = time.monotonic(), "", "", ""
    try:
      measured = next(work) or ""
    except Skip as reason:
      skipped = str(reason)
    except StopIteration:
      problem = "not reached"
    except Exception as error:
      problem = str(error) if isinstance(error, Wrong) else f"{type(error).__name__}: {error}"
    row = Row(attempt.kind, fault, problem, time.monotonic() - begun, skipped, measured)
    say(f"{row.status:<8}{row.seconds:6.1f} s  {row.about}")
    rows.append(row)
  return rows


def table(rows: list[Row]) -> str:
  """In Markdown, one line a kind, then the rows that did not pass, or that measured something."""
  lines = ["| fault | tried | passed | seconds |", "| --- | --- | --- | --- |"]
  for kind in dict.fromkeys(row.kind for row in rows):
    of_kind = [row for row in rows if row.kind == kind]
    passed = sum(row.status == "passed" for row in of_kind)
    tried_ = sum(not row.skipped for row in of_kind)
    lines.append(f"| {kind} | {tried_} | {passed} | {sum(row.seconds for row in of_kind):.0f} |")
  for row in rows:
    if row.status != "passed" or row.measured:
      lines.append(f"\n{row.status}: {row.about}")
  return "\n".join(lines)
