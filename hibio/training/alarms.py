"""Alarms: monitors that have gone bad, by name, with what that means and what to do about it.

Every line of `metrics.jsonl` is compared with the table `ALARMS`. An alarm begins when the same
problem is found in several lines in a row, so that one odd batch does not raise it. Alarms depend
on the lines alone: a resumed run reads its earlier lines again and reaches the same state.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Line = Mapping[str, Any]
"""One line of `metrics.jsonl`."""

Check = Callable[[Line], str | None]
"""What is wrong with a line, in words; "" if nothing is; None if the line does not tell."""

LINES_IN_A_ROW = 3
QUIET_SHARE = 0.1
"""Share of all steps in which nothing is judged: nothing has been learned yet."""


@dataclasses.dataclass(frozen=True)
class Alarm:
  """One way in which training goes wrong.

  Attributes:
    name: in `metrics.jsonl`, in `run.json` and on the console.
    check: finds it in a line.
    meaning: what has happened, for somebody who does not know the monitor.
    advice: what to try.
  """

  name: str
  check: Check
  meaning: str
  advice: str


def below(metric: str, limit: float) -> Check:
  """Finds values under `limit`."""

  def check(line: Line) -> str | None:
    value = _value(line, metric)
    if value is None:
      return None
    return f"{_short(metric)} {value:.3g} is below {limit:.3g}" if value < limit else ""

  return check


def above(metric: str, limit: float, of: str | None = None) -> Check:
  """Finds values over `limit`, or over `limit` times the metric `of`."""

  def check(line: Line) -> str | None:
    value, whole = _value(line, metric), 1.0 if of is None else _value(line, of)
    if value is None or whole is None:
      return None
    most = limit * whole
    return f"{_short(metric)} {value:.3g} is above {most:.3g}" if value > most else ""

  return check


def any_of(*checks: Check) -> Check:
  """Finds what at least one of the checks does."""

  def check(line: Line) -> str | None:
    found = [one(line) for one in checks]
    if all(one is None for one in found):
      return None
    return ", ".join(one for one in found if one)

  return check


def where(condition: Check, then: Check) -> Check:
  """What `then` finds in lines in which `condition` finds something too."""
  return lambda line: then(line) if condition(line) else condition(line)


def section_shortcut(line: Line) -> str | None:
  """Finds recall over all sections that owes nothing to telling apart spots of one section.

  Knowing the section alone multiplies recall by the number of sections in a batch and leaves the
  recall within a section where chance is.
  """
  names = [f"monitor/recall{which}" for which in ("", "_within_section")]
  values = [_value(line, name) for one in names for name in (one, f"{one}_chance")]
  if None in values or not values[1] or not 0 < values[3] < _SOME_CHOICE:
    return None
  gain, gain_within = values[0] / values[1], values[2] / values[3]
  if gain > _GAIN_BY_SECTION and gain_within < _GAIN_WITHIN:
    return (
      f"recall is {gain:.2g} times chance over all sections, {gain_within:.2g} times within one"
    )
  return ""


def not_below_chance(line: Line) -> str | None:
  """Finds held-out pairs that are told apart no better than by guessing among their candidates."""
  loss, chance = (_value(line, f"held_out/{what}/spot") for what in ("loss", "chance"))
  if loss is None or chance is None:
    return None
  return f"loss {loss:.3g} of held-out donors beside a chance of {chance:.3g}" * (loss >= chance)


def section_told(modality: str) -> Check:
  """Finds embeddings of held-out donors that give away their section nearly without error."""
  name = f"held_out/monitor/section_probe_{modality}"

  def check(line: Line) -> str | None:
    accuracy, chance = _value(line, name), _value(line, f"{name}_chance")
    if accuracy is None or chance is None or chance >= 1:
      return None
    above_chance = (accuracy - chance) / (1 - chance)
    if above_chance <= _SECTION_TOLD:
      return ""
    return f"{_short(name)} {accuracy:.3g} beside a chance of {chance:.3g}"

  return check


_GAIN_BY_SECTION, _GAIN_WITHIN = 1.5, 1.25
_SOME_CHOICE = 0.5
"""Chance within a section; higher where nearly all of its spots are masked."""

_SECTION_TOLD = 0.9
"""(accuracy - chance) / (1 - chance); donors differ in their biology, so some of it is expected."""

_FEW_CANDIDATES = 64
"""Of a hundred guesses, more than one is right: little is left to learn from."""

_PAIRS_TRAIN = above("weight/spot", 0.0)
_ANCHORS_TRAIN = above("weight/pathway", 0.0)
_FEWEST_USED = 3.0

ALARMS = (
  *(
    Alarm(
      f"collapse_{modality}",
      any_of(
        below(f"monitor/dimension_std_{modality}", 0.1),
        # Not 3: contrasts that find their pairs well have been seen at 2.8.
        below(f"monitor/effective_rank_{modality}", 2.0),
      ),
      f"{what} have nearly all the same embedding, or lie on a line",
      "lower training.learning_rate, or put more sections into a batch",
    )
    for modality, what in (("image", "patches"), ("gene", "profiles"))
  ),
  *(
    Alarm(
      f"cone_{modality}",
      above(f"monitor/mean_cosine_{modality}", 0.9),
      f"{what} all point the same way; what they differ in is small beside it",
      "lower training.learning_rate, or put more sections into a batch",
    )
    for modality, what in (("image", "patches"), ("gene", "profiles"))
  ),
  *(
    Alarm(
      f"anchors_unused_{modality}",
      where(_ANCHORS_TRAIN, above(f"monitor/anchors_unused_{modality}", 0.5, "monitor/anchors")),
      f"more than half of the gene sets are the nearest of hardly any {what}",
      "give fewer gene sets, or raise the weight of separation",
    )
    for modality, what in (("image", "patch"), ("gene", "profile"))
  ),
  *(
    Alarm(
      f"anchors_one_{modality}",
      where(
        _ANCHORS_TRAIN,
        where(
          above("monitor/anchors", 2 * _FEWEST_USED),
          below(f"monitor/anchor_entropy_{modality}", math.log(_FEWEST_USED)),
        ),
      ),
      f"all {what} are drawn to fewer than {_FEWEST_USED:.0f} gene sets",
      "raise objectives.activity_temperature or the weight of separation",
    )
    for modality, what in (("image", "patches"), ("gene", "profiles"))
  ),
  *(
    Alarm(
      f"{name}_at_limit",
      above(f"monitor/{name}_at_limit", 0.5),
      f"the inverse temperature of {of} is held at its limit of 100 and would rise further",
      "lower training.learning_rate; the training pairs may be learned by heart",
    )
    for name, of in (("scale", "the spot contrast"), ("anchor_scale", "the anchors"))
  ),
  Alarm(
    "gene_tokens_dropped",
    above("monitor/gene_tokens_dropped", 0.95),
    "keyword genes hold next to none of a spot's counts",
    "raise model.keywords.num_keywords, or look whether the panel fits the data",
  ),
  Alarm(
    "negatives_masked",
    # Of two sections a batch no more than half can lie in a spot's own.
    above("monitor/masked_negatives", 0.25),
    "many other spots of a batch lie too close to count as negatives",
    "lower objectives.neighbour_radius_um, or put more sections into a batch",
  ),
  Alarm(
    "few_candidates",
    where(_PAIRS_TRAIN, below("chance/spot", math.log(_FEW_CANDIDATES))),
    f"chance is the log of the number of candidates: a spot is told from fewer than"
    f" {_FEW_CANDIDATES}, which is too easy to learn from",
    "raise training.windows_per_batch or training.paired_share; with negatives of the section, put"
    " fewer sections into a batch",
  ),
  Alarm(
    "held_out_not_below_chance",
    where(_PAIRS_TRAIN, not_below_chance),
    "images and profiles of donors that are not trained on do not find each other",
    "read the frozen features of a pretrained encoder (--config=experiments/hibio.py:frozen), train"
    " on more sections, or for fewer steps",
  ),
  Alarm(
    "section_shortcut",
    section_shortcut,
    "images find the section of their profile and not the profile",
    "put fewer sections into a batch, or raise training.augmentation.stain_strength",
  ),
  *(
    Alarm(
      f"section_probe_{modality}",
      section_told(modality),
      f"{what} of held-out donors can be told apart by section: stain, depth or batch is in them",
      advice,
    )
    for modality, what, advice in (
      ("image", "patches", "raise training.augmentation.stain_strength"),
      ("gene", "profiles", "put more sections into a batch, from more donors"),
    )
  ),
)
"""Every alarm. The numbers are wide of what healthy runs show."""


class Watch:
  """Follows the lines of one run.

  Attributes:
    begun: name of each alarm that has begun -> step of the line in which it did, the first time.
  """

  def __init__(self, num_steps: int, earlier: Iterable[Line] = ()):
    """Takes the number of steps of the whole run, and its lines so far."""
    self.begun: dict[str, int] = {}
    self._quiet_until = QUIET_SHARE * num_steps
    self._in_a_row = dict.fromkeys((alarm.name for alarm in ALARMS), 0)
    for line in earlier:
      self.look(line)

  def look(self, line: Line) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the alarms that ring, and a warning for each that begins for the first time.

    A line that does not tell leaves an alarm as it is.
    """
    if line["step"] <= self._quiet_until:
      return (), ()
    warnings = []
    for alarm in ALARMS:
      if (found := alarm.check(line)) is None:
        continue
      self._in_a_row[alarm.name] = self._in_a_row[alarm.name] + 1 if found else 0
      if self._in_a_row[alarm.name] >= LINES_IN_A_ROW and alarm.name not in self.begun:
        self.begun[alarm.name] = line["step"]
        warnings.append(
          f"hibio: warning: {alarm.name}: {found}: {alarm.meaning}. Try: {alarm.advice}."
        )
    ringing = tuple(name for name, times in self._in_a_row.items() if times >= LINES_IN_A_ROW)
    return ringing, tuple(warnings)


def first_steps(lines: Iterable[Line]) -> dict[str, int]:
  """Name of each alarm that rings in lines of `metrics.jsonl` -> step of the first that says so."""
  begun: dict[str, int] = {}
  for line in lines:
    for name in line.get("alarms", ()):
      begun.setdefault(name, line["step"])
  return begun


def _value(line: Line, metric: str) -> float | None:
  value = line.get(metric)
  return None if value is None or not math.isfinite(value) else value


def _short(metric: str) -> str:
  return metric.rpartition("/")[2]
