"""Answers that look at nothing: what any score of a probe has to be read against."""

from __future__ import annotations

import numpy as np

from hibio.tasks.predictions import Predictions


def stratified(found: Predictions, rng: np.random.Generator) -> Predictions:
  """Each spot's class drawn with the frequencies of the spots that its fold was fitted on."""
  drawn = np.empty(len(found.spots), int)
  for fold, rows in _folds(found):
    drawn[rows] = rng.choice(len(found.classes), len(rows), p=found.shares[fold])
  return _said(found, drawn)


def majority(found: Predictions) -> Predictions:
  """Every spot given the most frequent class of the spots that its fold was fitted on."""
  constant = np.empty(len(found.spots), int)
  for fold, rows in _folds(found):
    constant[rows] = found.shares[fold].argmax()
  return _said(found, constant)


def _folds(found: Predictions):
  names = found.spots["fold"].to_numpy(str)
  return [(fold, np.flatnonzero(names == fold)) for fold in found.shares]


def _said(found: Predictions, classes: np.ndarray) -> Predictions:
  return found.answered(np.eye(len(found.classes))[classes])
