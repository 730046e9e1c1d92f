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
_GOES_ON = ("async_collective_fusion", "async-collective-done")
"""Where the TPU compiler repeats a collective that has begun before and runs beside other work."""

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

  def operands(self) -> list[str]:
    return re.findall(r"%([\w.\-]+)", self.rest.partition(")")[0])


_Computations = dict[str, list[_Instruction]]


def _parsed(text: str) -> tuple[_Computations, str]:
  """Instructions of each computation, and the name of the one that is run."""
  computations: _Computations = {}
  entry = current = ""
  for line in text.splitlines():
    if found := _COMPUTATION.match(line):
      current = found[1]
      computations[current] = []
      entry = current if line.startswith("ENTRY") else entry
    elif current and (found := _INSTRUCTION.match(line)):
      computations[current].append(_Instruction(*found.groups()))
  return computations, entry


def _within(name: str, computations: _Computations, times: int | None) -> Iterator[Collective]:
  instructions = computations[name]
  sizes = {one.name: _size(one.shape) for one in instructions}
  for one in instructions:
    kind = one.kind.removesuffix("-start")
    if kind in KINDS:
      if times is None:
        raise ValueError(f"{one.name} is in a loop that turns nobody knows how often")
      given = sum(sizes.get(operand, 0) for operand in one.operands())
      # What starts here and ends elsewhere has what it was given among what comes out.
      out = sizes[one.name] - (given if one.kind != kind and kind != "all-reduce" else 0)
      where = re.search(r'op_name="([^"]*)"', one.rest)
      yield Collective(kind, max(given, out), times, where[1] if where else "")
      continue
    turns = times
    if one.kind == "while":
      known = _turns(one, instructions, computations)
      turns = times * known if known and times else None
    called = [] if one.name.startswith(_GOES_ON) else _CALLED.findall(one.rest)
    for branches in _BRANCHES.findall(one.rest):
      called += re.findall(r"%?([\w.\-]+)", branches)
    for inner in called:
      if inner in computations and not inner.startswith(_GOES_ON):
        yield from _within(inner, computations, turns)


def _turns(
  loop: _Instruction, around: list[_Instruction], computations: _Computations
) -> int | None:
  """How often a loop turns: as the compiler notes it, or else as its counter is counted up."""
  if known := _TRIPS.search(loop.rest):
    return int(known[1])
  condition, body = (
    {one.name: one for one in computations[re.search(rf"{part}=%?([\w.\-]+)", loop.rest)[1]]}
    for part in ("condition", "body")
  )
  outside = {one.name: one for one in around}
  test = next((one for one in condition.values() if "direction=LT" in one.rest), None)
  if test is None:
    return None
  counter, end = test.operands()
  place = int(re.search(r"index=(\d+)", condition[counter].rest)[1])
  begin = outside[loop.operands()[0]].operands()[place]
  following = body[list(body.values())[-1].operands()[place]]
  steps = [_constant(name, body) for name in following.operands()]
  end, begin = _constant(end, condition), _constant(begin, outside)
  step = next((step for step in steps if step is not None), None)
  if following.kind != "add" or None in (begin, end, step):
    return None
  return -(-(end - begin) // step)


def _constant(name: str, instructions: dict[str, _Instruction]) -> int | None:
  """The number behind a name, or behind what is copied under it; None where it is no constant."""
  while (one := instructions.get(name)) and one.kind == "copy":
    (name,) = one.operands()
  return int(one.rest.partition(")")[0]) if one and one.kind == "constant" else None


def _size(shape: str) -> int:
  """Bytes of an array, or of all arrays of a tuple."""
  return sum(
    _width(kind) * math.prod(map(int, filter(None, sides.split(","))))
    for kind, sides in _SHAPE.findall(shape)
  )


def _width(kind: str) -> int:
  bits = re.search(r"\d+", kind)
  return max(int(bits[0]) // 8, 1) if bits else 1
