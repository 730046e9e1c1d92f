"""The figure that stands for each task on the first screen, and what it is compared with."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence

from hibio.evaluation.rows import Row
from hibio.report.methods import lower_is_better, role, seen
from hibio.report.verdict import Verdict, against_chance, compare, has_value


@dataclasses.dataclass(frozen=True)
class Headline:
  """Which rows of a task stand for it.

  Attributes:
    question: what the task asks.
    metrics: patterns, the preferred one first.
    protocols: patterns, tried in order for each metric; of several protocols that match the same
      pattern the last counts. The empty pattern matches all.
  """

  task: str
  question: str
  metrics: tuple[str, ...]
  protocols: tuple[str, ...] = ("",)


_OFF_THE_RECORD = re.compile(r"LEAKY|random spot|published", re.IGNORECASE)
"""Protocols that never stand for a task."""

HEADLINES = (
  Headline(
    "retrieval",
    "Does a patch find its own expression profile?",
    ("^recall@5$", "^recall"),
    (r"^image_to_gene, gallery: (own )?section\b", "^image_to_gene"),
  ),
  Headline(
    "expression",
    "Can a spot's genes be predicted from its H&E?",
    ("^pearson_in_section$", "pearson"),
    ("^ridge_cv.*cp10k.*(variable|hvg)", "^ridge_cv.*(variable|hvg)", "^ridge_cv", ""),
  ),
  Headline(
    "annotation",
    "Are the labels of unseen donors linear in the frozen embedding?",
    ("^balanced_accuracy$", "balanced_accuracy", "macro_f1"),
    ("^linear probe", "probe", ""),
  ),
  Headline(
    "domains",
    "Do clusters of the frozen embedding follow the tissue's own layout?",
    ("^ari$", "ari", "nmi"),
    ("^k-means(?!.*smoothed)", "^k-means", ""),
  ),
  Headline(
    "contrast",
    "Does the training objective hold on held-out donors?",
    ("^loss/spot$", "^loss"),
  ),
  Headline("keywords", "Are keyword genes those that are planted in the spot?", ("^purity",)),
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
    """What else keeps a reader from believing the figure."""
    found = []
    if "LEAKY" in self.model.split:
      found.append("LEAKY: donors on both sides")
    if self.against_chance.word in ("ties", "below"):
      found.append("no better than chance")
    if self.against_untrained.word in ("ties", "below"):
      found.append("no better than untrained")
    return tuple(found)


def headlines(rows: Sequence[Row], model_methods: Sequence[str] = ()) -> Iterator[HeadlineLine]:
  """A line a task and modality that the model was scored in.

  Args:
    model_methods: as in `methods.role`.
  """
  known = {headline.task: headline for headline in HEADLINES}
  order = list(known) + [task for task in dict.fromkeys(r.task for r in rows) if task not in known]
  for task in order:
    headline = known.get(task, Headline(task, task, ("",)))
    own = [row for row in rows if row.task == task]
    for what in ("image", "gene", "fused", ""):
      # Each on its own: a protocol says which spots it is about, and not all spots have images.
      chosen = _chosen(headline, own, model_methods, what)
      models = [row for row in chosen if _is_model(row, model_methods, what)]
      if models:
        model = models[0]
        yield _line(headline, what, model, chosen, model_methods)


def best(rows: Sequence[Row]) -> Row | None:
  """The row with the best value; None where none has one."""
  scored = [row for row in rows if has_value(row)]
  if not scored:
    return None
  choose = min if lower_is_better(scored[0].metric) else max
  return choose(scored, key=lambda row: row.value)


def _line(
  headline: Headline, what: str, model: Row, rows: Sequence[Row], model_methods: Sequence[str]
) -> HeadlineLine:
  untrained = next(
    (r for r in rows
     if role(r, model_methods) == "untrained" and seen(r.method) == what and "@" not in r.method),
    None,
  )  # fmt: skip
  fair = {"": ("image", "gene", "fused", ""), "fused": ("image", "gene", "fused", "")}.get(
    what, (what, "")
  )
  # Where only some sections have images, methods that see more are scored on more spots.
  same = [row for row in rows if row.n == model.n]
  baseline = best(
    [row for row in same if role(row, model_methods) == "baseline" and seen(row.method) in fair]
  )
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


def _is_model(row: Row, model_methods: Sequence[str], what: str) -> bool:
  """Whether a row is of the model itself, spot by spot, seeing just that."""
  is_model = role(row, model_methods) == "model" and "@" not in row.method
  return is_model and seen(row.method) == what


def _chosen(
  headline: Headline, rows: Sequence[Row], model_methods: Sequence[str], what: str
) -> list[Row]:
  """The rows of the protocol and metric that stand for the task."""
  models = [
    row
    for row in rows
    if _is_model(row, model_methods, what) and not _OFF_THE_RECORD.search(row.protocol)
  ]
  # A task whose names nobody foresaw still gets a line.
  for metric, protocol in (*itertools.product(headline.metrics, headline.protocols), ("", "")):
    found = [r for r in models if re.search(protocol, r.protocol) and re.search(metric, r.metric)]
    if found:
      which = (found[-1].protocol, found[-1].metric)
      return [row for row in rows if (row.protocol, row.metric) == which]
  return []
