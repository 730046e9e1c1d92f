"""Who each run of an ablation does not see, and how many sections it is trained on.

Sections or donors are held out in turn, without preparing the corpus again.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.console import counted
from data_pipelines.loading import splitting
from data_pipelines.loading.corpus import Corpus
from data_pipelines.problems import BadInputError, nearest


@dataclasses.dataclass(frozen=True)
class Split:
  """What one run is trained on and scored on.

  Attributes:
    name: of the fold; "" where it is the corpus as it was prepared.
    unit: what `test` names: "donor" or "section".
    train: sections to train on; empty for all that are not held out.
  """

  name: str
  unit: str
  test: tuple[str, ...]
  validation: tuple[str, ...] = ()
  train: tuple[str, ...] = ()

  @property
  def folder(self) -> str:
    """The name of a folder for it."""
    parts = [f"fold-{self.name}"] if self.name else []
    parts += [f"sections-{len(self.train)}"] if self.train else []
    return "-".join(parts)

  @property
  def words(self) -> str:
    """Behind a preset's name: on how many sections it was trained."""
    return f", {counted(len(self.train), 'training sections')}" if self.train else ""

  @property
  def config(self) -> dict[str, str]:
    """Key -> value of `config.split`."""
    named = {"train": self.train, "validation": self.validation, "test": self.test}
    return {"unit": self.unit} | {key: ",".join(names) for key, names in named.items()}

  def of(self, corpus: Corpus) -> Corpus:
    """The corpus, so divided."""
    return corpus.resplit(self.unit, self.test, self.validation, self.train)


def splits(corpus: Corpus, hold_out: str) -> list[Split]:
  """One a fold.

  Args:
    hold_out: "donor" or "section" for each in turn, "section:C2,C3" for these alone, or folds
      separated by commas, each of which holds out all that is joined by "+": "A1+C2,A2+C3". Where
      some sections have an image, "section" alone means those.

  Raises:
    BadInputError: a name that the corpus does not have.
  """
  sections = corpus.manifest["sections"]
  donors = list(dict.fromkeys(map(splitting.patient_of, sections)))
  known = {"donor": donors, "section": [section["section_id"] for section in sections]}
  unit, _, listed = hold_out.partition(":")
  if unit not in known:
    unit, listed = "", hold_out
  folds = [tuple(fold.split("+")) for fold in listed.split(",") if fold]
  names = {name for fold in folds for name in fold}
  unit = unit or ("section" if names <= {*known["section"]} else "donor")
  for name in sorted(names - {*known[unit]}):
    near = nearest(name, known[unit])
    raise BadInputError(
      "--hold_out", unit, repr(name), f"donor, section, or some of {', '.join(known[unit][:40])}",
      f"write {near}" if near else "correct the name",
    )  # fmt: skip
  if not folds and unit == "section":
    imaged = [section["section_id"] for section in sections if section["has_image"]]
    folds = [(name,) for name in imaged or known[unit]]
  elif not folds:
    folds = [(name,) for name in donors]
  return [Split("+".join(fold), unit, fold) for fold in folds]


def as_prepared(corpus: Corpus) -> Split:
  """The splits that the corpus was prepared with."""
  prepared = corpus.manifest["splits"]
  return Split("", "donor", tuple(prepared["test"]), tuple(prepared["validation"]))


def with_sizes(corpus: Corpus, split: Split, sizes: Sequence[int], seed: int) -> list[Split]:
  """The split with so many of its training sections, where it has as many.

  Fewer are some of more. Sections with an image come first, and those of each patient in turn.

  Raises:
    BadInputError: it has fewer than the smallest of these numbers.
  """
  manifest = split.of(corpus).manifest
  order = _drawn([s for s in manifest["sections"] if s["split"] == "train"], seed)
  if min(sizes) > len(order):
    raise BadInputError(
      "--train_sections", "number", str(min(sizes)), f"at most {len(order)}, which there are",
      "ask for fewer",
    )  # fmt: skip
  return [
    dataclasses.replace(split, train=tuple(sorted(order[:size])))
    for size in sizes
    if size <= len(order)
  ]


def _drawn(sections: Sequence[Mapping[str, Any]], seed: int) -> list[str]:
  """Their names in an order drawn with the seed."""
  before: Counter = Counter()
  ranked = []
  for index in np.random.default_rng(seed).permutation(len(sections)):
    section = sections[index]
    whose = section["has_image"], splitting.patient_of(section)
    ranked.append((not section["has_image"], before[whose], len(ranked), section["section_id"]))
    before[whose] += 1
  return [name for *_, name in sorted(ranked)]
