"""Who is trained on: donors, never sections, are divided between training and testing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from data_pipelines.problems import BadInputError, nearest

SPLITS = ("train", "validation", "test")
TEST_SHARE = 0.25
MIN_DONORS_FOR_VALIDATION = 4


def split_donors(
  donors: Iterable[str],
  test: Sequence[str] | None = None,
  validation: Sequence[str] | None = None,
) -> dict[str, list[str]]:
  """Split -> its donors. The same donors give the same splits on every machine.

  Args:
    donors: every donor of the corpus.
    test: donors to hold out; by default a quarter, at least one of two.
    validation: donors to look at while training; by default one, if there are at least four.

  Raises:
    BadInputError: a donor that is not there, or one asked for twice.
  """
  donors = sorted(set(donors))
  _check(donors, "--test_donors", test or ())
  _check(donors, "--validation_donors", validation or ())
  if both := sorted(set(test or ()) & set(validation or ())):
    raise BadInputError(
      "--validation_donors",
      "donor",
      f"{both[0]}, also in --test_donors",
      "each donor in one split",
      "name it in one of the two flags",
    )
  # A hash orders donors without regard to their names, so that "P1, P2, ..." hides no pattern.
  drawn = sorted(donors, key=lambda donor: hashlib.sha256(donor.encode()).hexdigest())
  if test is None:
    free = [donor for donor in drawn if donor not in (validation or ())]
    number = max(1, round(TEST_SHARE * len(donors))) if len(donors) >= 2 else 0
    test = free[: min(number, len(free) - 1)]
  if validation is None:
    free = [donor for donor in drawn if donor not in test]
    enough = len(donors) >= MIN_DONORS_FOR_VALIDATION and len(free) >= 2
    validation = free[:1] if enough else ()
  held_out = {*test, *validation}
  return {
    "train": [donor for donor in donors if donor not in held_out],
    "validation": sorted(set(validation)),
    "test": sorted(set(test)),
  }


def split_of(splits: Mapping[str, Sequence[str]], donor: str) -> str:
  """The split that a donor is in."""
  return next(name for name in SPLITS if donor in splits[name])


def _check(donors: Sequence[str], flag: str, asked: Sequence[str]) -> None:
  for donor in asked:
    if donor not in donors:
      near = nearest(donor, donors)
      raise BadInputError(
        flag,
        "donor",
        f"{donor!r}",
        f"one of {', '.join(donors[:20])}",
        f"write {near}" if near else "correct the name, or add its sections",
      )
