"""What was measured, one line of JSON each, and how it reads."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

FILE = "runs/benchmarks.jsonl"
"""Where results are appended; of several of one name the last counts."""

MET, MISSED, VOID, SAME, WRONG, NO_PEER, FAILED = (
  "met", "missed", "VOID", "same result", "WRONG", "peer not installed", "failed",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Result:
  """One comparison.

  Attributes:
    name: what is compared, e.g. "C5 keywords".
    peer: with what.
    goal: lowest ratio that is wanted.
    status: one of the words above.
    why: of a status that is not about the ratio.
    ours: median of what we took, in `unit`; None where nothing was measured.
    theirs: the same of the peer.
    ratio: median over rounds of theirs / ours: above 1, ours is the better.
    quartiles: of the same ratios.
    rounds: how many.
    unit: "s" or what else is counted.
    cores: that both ran on.
    elsewhere: cores that other processes kept busy meanwhile.
    device: the processor.
    when: UTC.
    versions: of the packages that decide.
  """

  name: str
  peer: str
  goal: float
  status: str
  why: str = ""
  ours: float | None = None
  theirs: float | None = None
  ratio: float | None = None
  quartiles: tuple[float, float] | None = None
  rounds: int = 0
  unit: str = "s"
  cores: int = 1
  elsewhere: float = 0.0
  device: str = dataclasses.field(default_factory=lambda: processor())
  when: str = dataclasses.field(default_factory=lambda: time.strftime("%F %T", time.gmtime()))
  versions: dict[str, str] = dataclasses.field(default_factory=lambda: versions())

  def line(self) -> str:
    """`name  ours  peer  ratio  IQR  goal  status`."""
    return "  ".join(
      f"{cell:<{width}}"
      for cell, width in zip(self.cells(), (44, 10, 34, 6, 13, 7, 0), strict=True)
    )

  def cells(self) -> tuple[str, ...]:
    """The same, cell by cell; a ratio that is void is not told."""
    told = self.ratio is not None and self.status in (MET, MISSED)
    return (
      self.name,
      amount(self.ours, self.unit) if told else "-",
      f"{self.peer} {amount(self.theirs, self.unit)}" if told else self.peer,
      f"{self.ratio:.2f}" if told else "-",
      f"{self.quartiles[0]:.2f} to {self.quartiles[1]:.2f}" if told and self.rounds > 1 else "-",
      f">= {self.goal:.3g}" if self.goal else "-",
      f"{self.status}: {self.why}" if self.why else self.status,
    )

  def append(self, path: Path) -> None:
    """Adds the result to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
      file.write(json.dumps(dataclasses.asdict(self)) + "\n")


def newest(path: Path) -> dict[str, Result]:
  """Name -> its last result in the file; a result that tells nothing never replaces one that does.

  A machine that is busy today makes no older ratio wrong.
  """
  found: dict[str, Result] = {}
  for line in path.read_text().splitlines() if path.exists() else ():
    one = Result(**json.loads(line))
    if one.status not in (VOID, NO_PEER, FAILED) or one.name not in found:
      found[one.name] = one
  return found


def table(results: Iterable[Result]) -> str:
  """Markdown."""
  lines = ["| what | ours | peer | ratio | IQR | goal | status |", "|---|---|---|---|---|---|---|"]
  return "\n".join([*lines, *("| " + " | ".join(one.cells()) + " |" for one in results)])


def amount(value: float | None, unit: str) -> str:
  """A figure with its unit, three digits of it."""
  if value is None:
    return "-"
  if unit != "s":
    return f"{value:,.3g} {unit}".strip() if value < 1000 else f"{value:,.0f} {unit}".strip()
  for size, name in ((1.0, "s"), (1e-3, "ms")):
    if value >= size:
      return f"{value / size:.3g} {name}"
  return f"{value * 1e6:.3g} us"


def processor() -> str:
  """The name of this machine's processor, and how many of its cores there are."""
  info = Path("/proc/cpuinfo")
  names = [
    line.partition(":")[2].strip()
    for line in (info.read_text().splitlines() if info.exists() else ())
    if line.startswith("model name")
  ]
  return f"{os.cpu_count()} cores of {names[0] if names else platform.processor() or 'unknown'}"


def versions() -> dict[str, str]:
  """Of what is installed of it."""
  names = ("jax", "numpy", "scikit-learn", "torch", "faiss-cpu", "decoupler", "openslide-python")
  found = {}
  for name in names:
    try:
      found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
      continue
  return {"python": platform.python_version(), **found}
