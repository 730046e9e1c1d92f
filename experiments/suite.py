"""Every task on one corpus: the model, the untrained model and simple baselines, side by side."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.loading import loader
from data_pipelines.loading.corpus import Corpus
from data_pipelines.problems import BadInputError
from experiments import gather, inputs, planted
from hibio import configs, forward, keywords, pretrained
from hibio.batch import Batch, Tables
from hibio.embedding import Forward
from hibio.tasks import annotation, baselines, domains, expression, folds, keyword_purity, retrieval
from hibio.tasks.cohort import Cohort
from hibio.tasks.rows import Row

KEYWORDS = 50
"""Genes a spot for the purity table: the size of a gene sentence in the literature."""

FEATURES = (
  "hibio/image", "hibio/gene", "hibio/fused",
  "untrained/image", "untrained/gene", "untrained/fused",
  "colour/image", "pca/gene",
)  # fmt: skip
"""What is probed and clustered; each says in its second half what it has seen."""

CONTRAST_BATCHES = 16


def evaluate(
  model: pretrained.Pretrained, corpus: Corpus, label: str = "", allow_leak: bool = False
) -> tuple[list[Row], Cohort]:
  """Every task that the corpus' labels and images allow, on its held-out donors.

  Raises:
    BadInputError: another gene panel than the checkpoint's, or a test donor that it was trained on.
  """
  _check(model, corpus, allow_leak)
  labels = labels_of(corpus, label)
  tables = inputs.tables_of(corpus)
  frozen = forward.frozen(model.model)
  untrained = forward.initial_params(model.model, inputs.first_window(corpus), tables, model.seed)
  cohort = gather.cohort(
    corpus, {"hibio": (frozen, model.params), "untrained": (frozen, untrained)}, tables
  )
  fit, test = cohort.split("train"), cohort.split("test")
  fit.features["pca/gene"] = baselines.expression_pca(fit, fit)
  test.features["pca/gene"] = baselines.expression_pca(fit, test)
  test.features["ridge/gene"] = baselines.ridge_between(fit, test, "colour/image", "pca/gene")
  both = cohort.split("train", "test")
  both.features["pca/gene"] = baselines.expression_pca(fit, both)
  split = "donors " + ", ".join(dict.fromkeys(test.spots["donor_id"]))
  params = {"hibio": model.params, "untrained": untrained}
  rows = [
    *_contrast(model, frozen, corpus, tables, params, split),
    *_retrieval(test, split),
    *_annotation(both, list(dict.fromkeys(test.spots["donor_id"])), labels),
    *_domains(test, labels, split),
    *_expression(fit, test, split),
  ]
  truth = planted.truth_of(corpus.path)
  if truth is not None:
    rows += _keywords(truth, corpus, tables, test, split)
  return rows, cohort


def _contrast(
  model: pretrained.Pretrained,
  frozen: Forward,
  corpus: Corpus,
  tables: Tables,
  params: dict,
  split: str,
) -> Iterator[Row]:
  """The spot objective itself, on batches drawn as in training but from held-out donors."""
  config = configs.from_dict(configs.ObjectiveConfig, model.meta["config"]["objectives"])
  training = model.meta["config"]["training"]
  total = forward.loss(config, shuffle_pairs=False)
  measure = jax.jit(lambda outputs, batch: total(outputs, batch, tables, {}, jax.random.key(0))[1])
  drawn = loader.batches(
    corpus,
    "test",
    windows_per_batch=training["windows_per_batch"],
    sections_per_batch=training["sections_per_batch"],
    seed=0,
  )
  batches = [Batch(**arrays) for arrays in itertools.islice(drawn, CONTRAST_BATCHES)]
  protocol = f"{CONTRAST_BATCHES} batches as in training, from held-out donors"
  for method, values in params.items():
    found = [measure(frozen(values, batch, tables), batch) for batch in batches]
    spots = sum(int(batch.spot_mask.sum()) for batch in batches)
    for metric in ("spot", "region", "spot_to_region"):
      yield Row(
        "contrast",
        corpus.name,
        protocol,
        split,
        f"loss/{metric}",
        method,
        float(np.mean([one[f"loss/{metric}"] for one in found])),
        spots,
        float(np.mean([one[f"chance/{metric}"] for one in found])),
      )


def _retrieval(test: Cohort, split: str) -> Iterator[Row]:
  for name in ("hibio", "untrained"):
    yield from retrieval.evaluate(
      test, test.features[f"{name}/image"], test.features[f"{name}/gene"], name, split
    )
  yield from retrieval.evaluate(
    test, test.features["ridge/gene"], test.features["pca/gene"], "colour ridge -> PCA", split
  )


def _annotation(cohort: Cohort, donors: Sequence[str], labels: Sequence[str]) -> Iterator[Row]:
  held_out = folds.folds_of(cohort, donors)
  for label, feature in itertools.product(labels, FEATURES):
    yield from annotation.evaluate(cohort, held_out, feature, label, feature)


def _domains(test: Cohort, labels: Sequence[str], split: str) -> Iterator[Row]:
  for label, feature in itertools.product(labels, FEATURES):
    yield from domains.evaluate(test, feature, label, feature, split)


def _expression(fit: Cohort, test: Cohort, split: str) -> Iterator[Row]:
  genes = expression.variable_genes(fit)
  for feature in ("hibio/image", "untrained/image", "colour/image"):
    yield from expression.evaluate(fit, test, feature, genes, feature, split)
  for name in ("hibio", "untrained"):
    yield from expression.evaluate_readout(test, name, genes, f"{name}/image", split)


def _keywords(
  truth: Path, corpus: Corpus, tables: Tables, test: Cohort, split: str
) -> Iterator[Row]:
  """Each score over the whole panel; gates as in pretraining except raw counts, which has none."""
  counts = np.asarray(test.counts.todense())
  section_row = {s["section_id"]: row for row, s in enumerate(corpus.manifest["sections"])}
  section = np.array([section_row[name] for name in test.spots["section_id"]], np.int32)
  scores = {}
  for name in ("raw", "tf_idf_smooth", "tf_idf", "surprisal"):
    config = configs.KeywordConfig(score=name)
    scores[name] = np.asarray(
      keywords.keyword_scores(
        jnp.asarray(counts)[:, None], tables.statistics, jnp.asarray(section), config
      )
    )[:, 0]
  yield from keyword_purity.evaluate(
    scores,
    counts > 0,
    planted.planted_genes(truth, corpus.panel, test),
    planted.housekeeping_genes(truth, corpus.panel),
    KEYWORDS,
    corpus.name,
    split,
  )


def _check(model: pretrained.Pretrained, corpus: Corpus, allow_leak: bool) -> None:
  if model.panel_hash != corpus.panel.hash:
    raise BadInputError(
      corpus.path,
      "gene panel",
      corpus.panel.hash,
      f"{model.panel_hash}, the checkpoint's",
      f"prepare the corpus with --panel={model.workdir}/panel.tsv",
    )
  for name in ("train", "test"):
    if not corpus.manifest["splits"][name]:
      raise BadInputError(
        corpus.path,
        f"{name} donors",
        "none",
        "at least one to fit on and one to score",
        "prepare more donors, or name them with --test_donors",
      )
  leaked = sorted(set(corpus.manifest["splits"]["test"]) & set(model.train_donors))
  if leaked and not allow_leak:
    raise BadInputError(
      corpus.path,
      "test donors",
      f"{', '.join(leaked)} in the checkpoint's training donors",
      "donors that it has not seen",
      "prepare with other --test_donors, or pass --allow_leak",
    )


def labels_of(corpus: Corpus, wanted: str) -> tuple[str, ...]:
  """The label columns to score: the one that is wanted, or all that the corpus has."""
  names = tuple(corpus.manifest["labels"])
  if wanted and wanted not in names:
    raise BadInputError(
      corpus.path,
      "label",
      wanted,
      f"one of {', '.join(names) or 'none'}",
      "pass --label=NAME with a label of the corpus",
    )
  return (wanted,) if wanted else names
