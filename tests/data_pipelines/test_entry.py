"""Flags that hold numbers say which of them is none."""

import pytest

from data_pipelines import entry
from data_pipelines.problems import BadInputError


def _numbers(*given):
  flags = entry.Flags("about")
  holder = flags.list("side_um", None, "Sides")
  flags(["command", *given])
  return entry.positive_numbers(holder)


def test_numbers_are_read_and_an_empty_list_is_not_a_missing_one():
  assert _numbers("--side_um=400,800.5") == (400.0, 800.5)
  assert _numbers("--side_um=") == ()
  assert _numbers() is None


@pytest.mark.parametrize("bad", ["0", "-4", "many", "4e2", "nan"])
def test_what_is_no_number_above_0_is_refused_by_name(bad):
  with pytest.raises(BadInputError, match=f"--side_um: value: found '{bad}'"):
    _numbers(f"--side_um=400,{bad}")
