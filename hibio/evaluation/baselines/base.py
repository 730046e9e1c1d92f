"""What a baseline is: a name for features that are made without a model, and who asks it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from data_pipelines.loading.corpus import Corpus
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.folds import Fold

Features = Float[np.ndarray, "spot feature"]

ABOUT_SPOTS = ("domains", "pooled_domains", "annotation", "regions")
ABOUT_IMAGES = ("expression", "anchors", *ABOUT_SPOTS)
"""Tasks that any feature may be asked, and those for features of an image."""


@dataclasses.dataclass(frozen=True)
class Given:
  """What a baseline may learn from.

  Attributes:
    cohort: every spot, with the features of the baselines that stand before it in the registry.
    fit: the spots of donors that no fold holds out, if there are any; else all, without labels.
    folds: how donors are held out.
    corpus: where the spots come from.
    once: (key, how it is made) -> what several baselines are made of, made for the first of them.
  """

  cohort: Cohort
  fit: Cohort
  folds: Sequence[Fold]
  corpus: Corpus
  once: Callable[[tuple, Callable[[], Any]], Any] = lambda key, make: make()


@dataclasses.dataclass(frozen=True)
class Baseline:
  """One simple method.

  Attributes:
    sees: what each of its features has seen: "image", "gene" or "position"; empty where the tasks
      themselves know how it answers.
    features: what is given -> an array (a tuple of them where it sees several), or None where the
      corpus does not allow it.
    tasks: names of the tasks that ask it.
    of_patches: (patches, micrometres a pixel) -> an array, in place of `features`; made while the
      corpus is read.
    control: it knows more or less than a method may: it stands in the tables and wins nothing.
    about: what it is, for a reader of the tables.
    tree: regions are drawn from it, too. Contiguous regions agree with contiguous labels whatever
      they were drawn from: the fair controls of the model's are trees of the same kind.
    headline: the tasks that ask it by every protocol that they have, as they ask the model.
    in_units: its features come in units of their section.
  """

  sees: tuple[str, ...] = ()
  features: Callable[[Given], Features | tuple[Features, ...] | None] | None = None
  tasks: tuple[str, ...] = ABOUT_SPOTS
  of_patches: Callable[[UInt8[np.ndarray, "spot height width 3"], float], Features] | None = None
  control: bool = False
  about: str = ""
  tree: bool = False
  headline: tuple[str, ...] = ()
  in_units: bool = False

  def of(self, name: str, given: Given) -> dict[str, Features]:
    """Its features by name, as "pca/gene"; none where the corpus does not allow it."""
    found = None if self.features is None else self.features(given)
    if found is None:
      return {}
    arrays = found if isinstance(found, tuple) else (found,)
    return {f"{name}/{seen}": one for seen, one in zip(self.sees, arrays, strict=True)}
