"""The figure that stands for each task on the first screen, and how it compares."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence

from hibio.evaluation.baselines import BASELINES, is_control
from hibio.evaluation.readings import RULE as AS_READ
from hibio.evaluation.rows import Row, seen
from hibio.report.verdicts import Verdict, against_chance, best, compare

COMPARED = (
  "Each line compares this checkpoint with guessing (chance), with the same architecture before "
  "training, and with the best simple method that sees no more than the model does."
)

_FEATURES_COMPARED = (
  "Each line compares these features with guessing (chance) and with the best simple method that "
  "sees no more than they do."
)

ROLES = ("model", "untrained", "baseline", "control", "published")
"""In the order of columns. A control knows more, or less, than a method may; it wins nothing."""

_ROLES = (
  ("model", re.compile(r"hibio\b")),
  ("untrained", re.compile(r"untrained\b")),
  ("control", re.compile(r"(shuffled|guess|random)\b")),
)


def role(row: Row) -> str:
  """Whose figure it is: one of `ROLES`."""
  if "not rerun" in row.note or row.method.startswith("published"):
    return "published"
  if is_control(row.method):
    return "control"
  return next((name for name, start in _ROLES if start.match(row.method)), "baseline")


def subject_of(rows: Sequence[Row]) -> str:
  """What the rows are about: the model, "hibio", or features that were evaluated without one."""
  if any(role(row) == "model" for row in rows):
    return "hibio"
  names = dict.fromkeys(row.method.partition("/")[0] for row in rows if role(row) == "baseline")
  return next((name for name in names if name not in BASELINES), "hibio")


def _is_of(row: Row, subject: str) -> bool:
  """Whether a row is of the subject itself, and not of its untrained twin."""
  if subject == "hibio":
    return role(row) == "model"
  return re.match(re.escape(subject) + r"(?![\w-])", row.method) is not None


def _is_twin(row: Row, subject: str) -> bool:
  """Whether a row is of the subject before its training."""
  return role(row) == "untrained" or row.method.startswith(f"{subject}-untrained")


def title_of(rows: Sequence[Row]) -> str:
  """The same as a heading."""
  subject = subject_of(rows)
  return "HiBio-ST" if subject == "hibio" else subject


def compared(rows: Sequence[Row]) -> str:
  """What each line of the summary compares."""
  return COMPARED if subject_of(rows) == "hibio" else _FEATURES_COMPARED


@dataclasses.dataclass(frozen=True)
class Headline:
  """Which rows of a task stand for it.

  Attributes:
    question: what the task asks.
    metrics: patterns, the preferred one first.
    protocols: patterns, tried in order for each metric; of several protocols that match the same
      pattern the last counts. The empty pattern matches all.
    reading: how the model's method ends where the task reads it in a way of its own; rows without
      it stand in where there are none.
  """

  task: str
  question: str
  metrics: tuple[str, ...]
  protocols: tuple[str, ...] = ("",)
  reading: str = ""


_OFF_THE_RECORD = re.compile(r"LEAKY|random spot|published", re.IGNORECASE)
"""Protocols that never stand for a task."""

HEADLINES = (
  Headline(
    "retrieval",
    "Does an H&E patch find its own expression profile?",
    ("^recall@5$", "^recall"),
    (r"^image_to_gene, gallery: (own )?section\b", "^image_to_gene"),
  ),
  Headline(
    "expression",
    "Can the genes of a spot be predicted from its H&E?",
    ("^pearson_in_section$", "pearson"),
    ("^ridge_cv.*cp10k.*(variable|hvg)", "^ridge_cv.*(variable|hvg)", "^ridge_cv", ""),
  ),
  Headline(
    "annotation",
    "Does a linear classifier on frozen embeddings label the tissue of unseen donors?",
    ("^balanced_accuracy$", "balanced_accuracy", "macro_f1"),
    ("^linear probe", "probe", ""),
  ),
  Headline(
    "domains",
    "Do clusters of the frozen model follow the annotated domains?",
    ("^ari$", "ari", "nmi"),
    ("^k-means(?!.*smoothed)", "^k-means", ""),
    reading=AS_READ,
  ),
  Headline(
    "contrast",
    "Is the training objective met on held-out donors?",
    ("^loss/spot$", "^loss"),
  ),
  Headline(
    "keywords",
    "Do keyword genes tell something of the tissue?",
    ("^purity", "^morans_i_by_weight"),
  ),
  Headline(
    "anchors",
    "Do pathway anchors light up where the counts show the pathway?",
    ("^correlation$",),
  ),
  Headline(
    "regions",
    "Do the model's regions hold one label each?",
    ("^homogeneity",),
    ("^level 1",),
  ),
)


@dataclasses.dataclass(frozen=True)
class HeadlineLine:
  """One line of the summary.

  Attributes:
    sees: what the model is given here: "image", "gene", "fused" or "" (not said).
    baseline: the best of the simple ones that see no more than the model does here.
    against_baseline: how the model stands to it.
  """

  headline: Headline
  sees: str
  model: Row
  untrained: Row | None
  baseline: Row | None
  against_baseline: Verdict
  against_untrained: Verdict
  against_chance: Verdict

  @property
  def warnings(self) -> tuple[str, ...]:
    """What else a reader has to know before believing the figure."""
    found = []
    if "LEAKY" in self.model.split:
      found.append("LEAKY: same donors on both sides")
    if self.against_chance in ("tie", "worse"):
      found.append("no better than chance")
    if self.baseline and self.against_untrained in ("tie", "worse"):
      found.append("no better than untrained")
    return tuple(found)


def headlines(rows: Sequence[Row]) -> Iterator[HeadlineLine]:
  """A line a task and modality that the model was scored in."""
  subject = subject_of(rows)
  known = {headline.task: headline for headline in HEADLINES}
  order = list(known) + [task for task in dict.fromkeys(r.task for r in rows) if task not in known]
  for task in order:
    headline = known.get(task, Headline(task, task, ("",)))
    own = [row for row in rows if row.task == task]
    for what in ("image", "gene", "fused", ""):
      # Each on its own: a protocol says which spots it is about, and not all spots have images.
      found = _chosen(headline, own, what, subject)
      if found:
        yield _line(headline, what, *found, subject)


def _line(
  headline: Headline, what: str, model: Row, rows: Sequence[Row], subject: str
) -> HeadlineLine:
  reading = _reading(model)
  twins = (row for row in rows if _is_twin(row, subject) and seen(row.method) == what)
  untrained = next((row for row in twins if _reading(row) == reading), None)
  fair = {"": ("image", "gene", "fused", ""), "fused": ("image", "gene", "fused", "")}.get(
    what, (what, "")
  )
  # Where only some sections have images, methods that see more are scored on more spots.
  same = [row for row in rows if row.n == model.n]
  same = [row for row in same if not (_is_of(row, subject) or _is_twin(row, subject))]
  baseline = best([row for row in same if role(row) == "baseline" and seen(row.method) in fair])
  return HeadlineLine(
    headline,
    what,
    model,
    untrained,
    baseline,
    compare(model, baseline),
    compare(model, untrained),
    against_chance(model),
  )


def _reading(row: Row) -> str:
  """How a method's spots are read: "" as they are, else from the "@" on."""
  return "".join(row.method.partition("@")[1:])


def _chosen(
  headline: Headline, rows: Sequence[Row], what: str, subject: str
) -> tuple[Row, list[Row]] | None:
  """The subject's row, seeing just that, and all rows of its protocol and metric."""
  models = [
    row
    for row in rows
    if _is_of(row, subject)
    and seen(row.method) == what
    and not _OFF_THE_RECORD.search(row.protocol)
  ]
  for reading in dict.fromkeys((headline.reading, "")):
    read = [row for row in models if _reading(row) == reading]
    asked = itertools.product(headline.metrics, headline.protocols)
    choices = (
      [row for row in read if re.search(protocol, row.protocol) and re.search(metric, row.metric)]
      for metric, protocol in asked
    )
    # A metric that nobody foresaw gets a line too; but a size, which has no chance, is no answer.
    unforeseen = [row for row in read if row.chance is not None]
    if found := next(filter(None, choices), unforeseen):
      last = found[-1]
      same = [r for r in rows if (r.protocol, r.metric) == (last.protocol, last.metric)]
      return next(row for row in found if row in same), same
  return None
