"""Who is compared: the checkpoint, the same untrained, and every baseline, added to a setting."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from data_pipelines.console import say
from data_pipelines.features import imported
from hibio.encoders import weights
from hibio.evaluation import gather, methods
from hibio.evaluation.baselines import BASELINES, Baseline, Given, counts
from hibio.evaluation.baselines.base import ABOUT_IMAGES
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.methods import MODEL, Method
from hibio.evaluation.setting import Setting
from hibio.evaluation.tasks import BESIDE_PCA


def with_checkpoint(setting: Setting, windows: gather.Windows | None = None) -> Setting:
  """The same questions, asked of the checkpoint alone.

  Args:
    windows: what it is shown in place of the corpus as it is. What is not asked of its embeddings
      would be as it was, and is not asked.
  """
  method = methods.on_device(methods.trained(MODEL, setting.model, setting.corpus))
  asked = beside_components(setting.with_model(method, windows))
  if windows is None:
    return asked
  embedded = dataclasses.replace(method, forward=None, keywords=None)
  return dataclasses.replace(asked, methods=(embedded,))


def with_others(setting: Setting) -> Setting:
  """The same questions, asked of the checkpoint untrained and of every baseline."""
  like = methods.trained(MODEL, setting.model, setting.corpus)
  method = methods.untrained(setting.model, like)
  return beside_components(with_baselines(setting.with_model(methods.on_device(method))))


def with_baselines(setting: Setting, features: Mapping[str, str] | None = None) -> Setting:
  """The same questions, asked of every baseline that the corpus' images and counts allow, too.

  Args:
    features: name -> file of image features that somebody else extracted; "" for those of this name
      beside the corpus. A ridge from each to components of the counts retrieves by it.
  """
  for name, path in (features or {}).items():
    setting = _with_extracted(setting, name, path)
  fit, models = _unscored(setting), setting.models
  corpus = models[0].corpus if models else setting.corpus  # with the features that it reads
  once = dataclasses.replace(setting, kept={}).once  # forgotten when all baselines are made
  for name, baseline in BASELINES.items():
    given = Given(setting.cohort, fit, setting.folds, corpus, once)
    method = Method(name, tasks=baseline.tasks, tree=baseline.tree, headline=baseline.headline)
    found = baseline.of(name, given)
    setting = setting.with_features(found, method, in_units=baseline.in_units)
  for name in features or {}:
    asked = setting.of(own := setting.method(name))
    given = Given(asked.cohort, _unscored(asked), setting.folds, corpus)
    ridge = Baseline(
      ("image", "gene"), counts.to_components(f"{name}/image"), ("retrieval", "region_retrieval")
    )
    way = f"{name} ridge to pca"
    method = Method(way, tasks=ridge.tasks, known=own.known)
    setting = setting.with_features(ridge.of(way, given), method)
  return setting.with_features({}, *methods.keyword_scores())


def _with_extracted(setting: Setting, name: str, path: str) -> Setting:
  """The same questions, asked of features of a file, or of those of this name beside the corpus.

  Raises:
    BadInputError: as `data_pipelines.features.imported.read`.
  """
  if path:
    spots = setting.cohort.spots
    rows = np.flatnonzero(spots["has_patch"])
    sections = setting.corpus.manifest["sections"]
    found = imported.read(path, spots.iloc[rows], sections, weights.read)
    values = np.zeros((len(spots), found.values.shape[1]), np.float32)
    known = np.zeros(len(spots), bool)
    known[rows] = found.known
    values[known] = found.values[found.known]
  else:
    rows, beside = setting.cohort.spots["spot_index"], setting.corpus.with_features(name)
    values, known = beside.feature_input[rows], beside.features.known[rows]
  own = Method(
    name,
    tasks=ABOUT_IMAGES,
    headline=("annotation", "domains"),
    known=_some(known, setting.cohort, name),
  )
  return setting.with_features({f"{name}/image": values}, own, in_units=not path)


def _some(known: np.ndarray, cohort: Cohort, name: str) -> np.ndarray | None:
  """Which spots features are known of, and says how many are not asked; None where all are."""
  has_patch = cohort.spots["has_patch"].to_numpy(bool)
  if known[has_patch].all():
    return None
  left_out, number = int((~known[has_patch]).sum()), int(has_patch.sum())
  say(f"features {name}: {left_out:,} of {number:,} spots with an image have none: not asked of it")
  return known


def beside_components(setting: Setting) -> Setting:
  """Adds "<model>/gene@pca" of every model: its gene embedding beside components of the counts.

  Both halves weigh the same. Where this is no better than the components alone, the model says
  nothing of expression that they do not.
  """
  components = setting.cohort.features.get("pca/gene")
  if components is None:
    given = Given(setting.cohort, _unscored(setting), setting.folds, setting.corpus)
    components = counts.pca(given)

  def scaled(values: np.ndarray) -> np.ndarray:
    return values / max(float(np.sqrt((values**2).mean())), 1e-12)

  return setting.with_features(
    {
      f"{one.name}/gene{BESIDE_PCA}": np.concatenate(
        [scaled(setting.cohort.features[f"{one.name}/gene"]), scaled(components)], axis=1
      )
      for one in setting.models
    }
  )


def _unscored(setting: Setting) -> Cohort:
  """The spots of donors that no fold holds out, if there are any; else all."""
  held_out = np.zeros(len(setting.cohort.spots), bool)
  for fold in setting.folds:
    held_out |= (setting.cohort.spots[fold.column].astype(str) == fold.held_out).to_numpy()
  return setting.cohort if held_out.all() else setting.cohort.subset(~held_out)
