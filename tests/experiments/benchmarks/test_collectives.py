import pytest

from experiments.benchmarks.collectives import collectives, num_bytes

PROGRAM = """HloModule jit_f, num_partitions=4

%add (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %sum = f32[] add(%x, %y)
}

%body (state: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %state = (s32[], f32[8,4]{1,0}) parameter(0)
  %part = bf16[2,4]{1,0} get-tuple-element(%state), index=1
  %all = bf16[8,4]{1,0} all-gather(%part), channel_id=1, dimensions={0}, metadata={op_name="f/mlp"}
  ROOT %next = (s32[], f32[8,4]{1,0}) tuple(%state)
}

%condition (state: (s32[], f32[8,4])) -> pred[] {
  ROOT %less = pred[] constant(true)
}

ENTRY %main (given: f32[8,4]) -> f32[8,4] {
  %given = f32[8,4]{1,0} parameter(0)
  %loop = (s32[], f32[8,4]{1,0}) while(%given), condition=%condition, body=%body, TRIPS
  %begun = (f32[2,4]{1,0}, f32[8,4]{1,0}) all-gather-start(%mine), dimensions={0}
  %mine = f32[2,4]{1,0} reduce-scatter(%given), dimensions={0}, to_apply=%add
  ROOT %both = (f32[8,4]{1,0}, f32[]) all-reduce(%given, %one), to_apply=%add
  %one = f32[] constant(1)
}
"""
KNOWN = 'backend_config={"known_trip_count":{"n":"24"}}'


def test_a_loop_counts_as_often_as_it_turns_and_a_scatter_as_what_goes_in():
  found = {one.kind: one for one in collectives(PROGRAM.replace("TRIPS", KNOWN))[:1]}
  assert found["all-gather"] == ("all-gather", 8 * 4 * 2, 24, "f/mlp")
  rest = collectives(PROGRAM.replace("TRIPS", KNOWN))[1:]
  assert [(one.kind, one.size, one.times) for one in rest] == [
    ("all-gather", 128, 1),  # what it was given is not counted a second time
    ("reduce-scatter", 128, 1),
    ("all-reduce", 132, 1),
  ]
  assert num_bytes(rest) == 128 + 128 + 132


def test_a_loop_that_turns_nobody_knows_how_often_is_refused():
  with pytest.raises(ValueError, match="nobody knows"):
    collectives(PROGRAM.replace("TRIPS", "sharding={replicated}"))


COUNTED = """HloModule jit_f, num_partitions=8

%begins (part: bf16[2,4]) -> bf16[8,4] {
  %part = bf16[2,4]{1,0:T(8,128)(2,1)} parameter(0)
  ROOT %first = bf16[8,4]{1,0:T(8,128)(2,1)} all-gather(%part), channel_id=4, dimensions={0}
}

%async_collective_fusion.1 (part: bf16[2,4]) -> bf16[8,4] {
  %part = bf16[2,4]{1,0:T(8,128)(2,1)} parameter(0)
  ROOT %again = bf16[8,4]{1,0:T(8,128)(2,1)} all-gather(%part), channel_id=4, dimensions={0}
}

%body (state: (bf16[2,4], u32[])) -> (bf16[2,4], u32[]) {
  %state = (bf16[2,4]{1,0}, u32[]{:T(128)}) parameter(0)
  %part = bf16[2,4]{1,0} get-tuple-element(%state), index=0
  %async-collective-start.2 = bf16[8,4]{1,0} fusion(%part), kind=kCustom, calls=%begins
  %fusion.1 = bf16[8,4]{1,0} fusion(%part), kind=kCustom, calls=%async_collective_fusion.1
  %async-collective-done.2 = bf16[8,4]{1,0} fusion(%part), kind=kCustom, calls=%begins
  %count = u32[]{:T(128)} get-tuple-element(%state), index=1
  %held = u32[]{:T(128)} copy(%count)
  %two = u32[]{:T(128)} constant(2)
  %more = u32[]{:T(128)} add(%held, %two)
  ROOT %next = (bf16[2,4]{1,0}, u32[]{:T(128)}) tuple(%part, %more)
}

%condition (state: (bf16[2,4], u32[])) -> pred[] {
  %end = u32[]{:T(128)} constant(6)
  %state = (bf16[2,4]{1,0}, u32[]{:T(128)}) parameter(0)
  %count = u32[]{:T(128)} get-tuple-element(%state), index=1
  ROOT %less = pred[]{:T(512)} compare(%count, %end), direction=LT
}

ENTRY %main (part: bf16[2,4]) -> bf16[2,4] {
  %part = bf16[2,4]{1,0} parameter(0)
  %one = u32[]{:T(128)} constant(1), metadata={op_name="f"}
  %begin = u32[]{:T(128)} copy(%one)
  %all = (bf16[2,4]{1,0}, u32[]{:T(128)}) tuple(%part, %begin)
  %loop = (bf16[2,4]{1,0}, u32[]{:T(128)}) while(%all), condition=%condition, body=%body
  ROOT %out = bf16[2,4]{1,0} get-tuple-element(%loop), index=0
}
"""
"""As the TPU compiler writes it: no trip counts, and what runs beside other work more than once."""


def test_a_loop_without_a_noted_count_is_followed_by_its_counter():
  assert [(one.size, one.times) for one in collectives(COUNTED)] == [(64, 3)]  # 1, 3, 5


def test_a_counter_that_is_no_constant_is_refused():
  with pytest.raises(ValueError, match="nobody knows"):
    collectives(COUNTED.replace("copy(%one)", "parameter(1)"))
