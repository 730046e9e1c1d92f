"""How many bytes a compiled program sends between devices, counted in its text.

XLA's own cost analysis counts the body of a loop once, and collectives not at all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")

_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.+?) ([a-z][\w\-]*)\((.*)$")
_CALLED = re.compile(r"(?:to_apply|body|condition|calls|called_computations)=\{?%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_SHAPE = re.compile(r"\b(pred|bf16|[suf]\d+|f8\w+|c\d+)\[([\d,]*)\]")


class Collective(NamedTuple):
  """One kind of instruction at one place of a program.

  Attributes:
    kind: one of `KINDS`.
    size: bytes that go in or come out on a device, whichever is more.
    times: how often it runs in one execution, loops taken as often as they turn.
    where: the operation it was made of, as the compiler remembers it.
  """

  kind: str
  size: int
  times: int
  where: str


def collectives(text: str) -> list[Collective]:
  """All of them in the text of a compiled program, each instruction once.

  Raises:
    ValueError: a loop with a collective in it, of which nobody knows how often it turns.
  """
  computations, entry = _parsed(text)
  return list(_within(entry, computations, 1))


def num_bytes(found: list[Collective]) -> int:
  """Bytes of one execution on one device."""
  return sum(one.size * one.times for one in found)


class _Instruction(NamedTuple):
  name: str
  shape: str
  kind: str
  rest: str


def _parsed(text: str) -> tuple[dict[str, list[_Instruction]], str]:
  """Instructions of each computation, and the name of the one that is run."""
  computations: dict[str, list[_Instruction]] = {}
  entry = current = ""
  for line in text.splitlines():
    if found := _COMPUTATION.match(line):
      current = found[1]
      computations[current] = []
      entry = current if line.startswith("ENTRY") else entry
    elif current and (found := _INSTRUCTION.match(line)):
      computations[current].append(_Instruction(*found.groups()))
  return computations, entry


def _within(
  name: str, computations: dict[str, list[_Instruction]], times: int | None
) -> Iterator[Collective]:
  instructions = computations[name]
  sizes = {one.name: _size(one.shape) for one in instructions}
  for one in instructions:
    kind = one.kind.removesuffix("-start")
    if kind in KINDS:
      if times is None:
        raise ValueError(f"{one.name} is in a loop that turns nobody knows how often")
      operands, _, attributes = one.rest.partition(")")
      given = sum(sizes.get(operand, 0) for operand in re.findall(r"%([\w.\-]+)", operands))
      # What starts here and ends elsewhere has what it was given among what comes out.
      out = sizes[one.name] - (given if one.kind != kind and kind != "all-reduce" else 0)
      where = re.search(r'op_name="([^"]*)"', attributes)
      yield Collective(kind, max(given, out), times, where[1] if where else "")
      continue
    turns = times
    if one.kind == "while":
      known = _TRIPS.search(one.rest)
      turns = times * int(known[1]) if known and times else None
    called = _CALLED.findall(one.rest)
    for branches in _BRANCHES.findall(one.rest):
      called += re.findall(r"%?([\w.\-]+)", branches)
    for inner in called:
      if inner in computations:
        yield from _within(inner, computations, turns)


def _size(shape: str) -> int:
  """Bytes of an array, or of all arrays of a tuple."""
  return sum(
    _width(kind) * math.prod(map(int, filter(None, sides.split(","))))
    for kind, sides in _SHAPE.findall(shape)
  )


def _width(kind: str) -> int:
  bits = re.search(r"\d+", kind)
  return max(int(bits[0]) // 8, 1) if bits else 1
