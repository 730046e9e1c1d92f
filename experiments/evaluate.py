"""Frozen embeddings on held-out donors, beside chance and simple baselines.

  python -m experiments.evaluate --checkpoint=WORKDIR --corpus=CORPUS --output=DIR

Writes `results.json` (rows of `hibio.tasks.rows.Row`), `results.md` (the same as tables) and
`figures/`. The untrained model of the same shape goes through the same code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from absl import flags
from data_pipelines.loading.corpus import Corpus

from data_pipelines.problems import BadInputError
from experiments import entry, gather, planted, report_tables
from experiments.figures import maps
from experiments.pretrain import corpus_tables, first_batch
from hibio import forward, keywords, pretrained
from hibio.batch import Tables
from hibio.configs import KeywordConfig
from hibio.tasks import annotation, baselines, domains, expression, keyword_purity, retrieval
from hibio.tasks.cohort import Cohort
from hibio.tasks.rows import Row

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Work directory of a pretraining run")
_CORPUS = flags.DEFINE_string("corpus", None, "Prepared corpus with labels, counts and images")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for results.json and figures")
_LABEL = flags.DEFINE_string("label", "", "Label column to use; default: the corpus' first")
_ALLOW_LEAK = flags.DEFINE_bool("allow_leak", False, "Score a donor the checkpoint was trained on")

KEYWORDS = 50
"""Genes a spot for the purity table: the size of a gene sentence in the literature."""


def main() -> None:
  output = Path(entry.required(_OUTPUT))
  model = pretrained.load(entry.required(_CHECKPOINT))
  corpus = Corpus.open(entry.required(_CORPUS))
  rows, cohort = evaluate(model, corpus, label=_LABEL.value, allow_leak=_ALLOW_LEAK.value)
  output.mkdir(parents=True, exist_ok=True)
  (output / "results.json").write_text(
    json.dumps(
      {
        "command": f"python -m experiments.evaluate --checkpoint={_CHECKPOINT.value}"
        f" --corpus={_CORPUS.value} --output={output}",
        "checkpoint": model.describe(),
        "corpus": {"name": corpus.name, "fingerprint": corpus.fingerprint},
        "rows": [row.to_json() for row in rows],
      },
      indent=1,
      allow_nan=False,
    )
  )
  tables = report_tables.markdown(rows)
  (output / "results.md").write_text(tables)
  print(tables)
  draw(corpus, cohort, _label(corpus, _LABEL.value), output / "figures")
  print(f"results.json, results.md and figures: {output}")


def evaluate(
  model: pretrained.Pretrained, corpus: Corpus, label: str = "", allow_leak: bool = False
) -> tuple[list[Row], Cohort]:
  """Every task that the corpus' labels and images allow, on its held-out donors.

  Raises:
    BadInputError: another gene panel than the checkpoint's, or a test donor that it was trained on.
  """
  _check(model, corpus, allow_leak)
  label = _label(corpus, label)
  tables = corpus_tables(corpus)
  frozen = forward.frozen(model.model)
  untrained = forward.initial_params(model.model, first_batch(corpus), tables, model.seed)
  cohort = gather.cohort(
    corpus, {"hibio": (frozen, model.params), "untrained": (frozen, untrained)}, tables
  )
  fit, test = cohort.split("train"), cohort.split("test")
  fit.features["pca/gene"] = baselines.expression_pca(fit, fit)
  test.features["pca/gene"] = baselines.expression_pca(fit, test)
  test.features["ridge/gene"] = baselines.ridge_between(fit, test, "colour/image", "pca/gene")
  split = "donors " + ", ".join(dict.fromkeys(test.spots["donor_id"]))
  rows = [
    *_retrieval(test, split),
    *_annotation(fit, test, label, split),
    *_domains(test, label, split),
    *_expression(fit, test, split),
  ]
  truth = planted.truth_of(corpus.path)
  if truth is not None:
    rows += _keywords(truth, corpus, tables, test, split)
  return rows, cohort


def _retrieval(test: Cohort, split: str) -> Iterator[Row]:
  for name in ("hibio", "untrained"):
    yield from retrieval.evaluate(
      test, test.features[f"{name}/image"], test.features[f"{name}/gene"], name, split
    )
  yield from retrieval.evaluate(
    test, test.features["ridge/gene"], test.features["pca/gene"], "colour ridge -> PCA", split
  )


def _annotation(fit: Cohort, test: Cohort, label: str, split: str) -> Iterator[Row]:
  if label:
    for feature in _FEATURES:
      yield from annotation.evaluate(fit, test, feature, label, feature, split)


def _domains(test: Cohort, label: str, split: str) -> Iterator[Row]:
  if label:
    for feature in _FEATURES:
      yield from domains.evaluate(test, feature, label, feature, split)


def _expression(fit: Cohort, test: Cohort, split: str) -> Iterator[Row]:
  genes = expression.variable_genes(fit)
  for feature in ("hibio/image", "untrained/image", "colour/image"):
    yield from expression.evaluate(fit, test, feature, genes, feature, split)
  for name in ("hibio", "untrained"):
    yield from expression.evaluate_readout(test, name, genes, f"{name}/image", split)


_FEATURES = (
  "hibio/image",
  "hibio/gene",
  "hibio/fused",
  "untrained/image",
  "untrained/gene",
  "untrained/fused",
  "colour/image",
  "pca/gene",
)


def _keywords(
  truth: Path, corpus: Corpus, tables: Tables, test: Cohort, split: str
) -> Iterator[Row]:
  """Each score over the whole panel; gates as in pretraining except raw counts, which has none."""
  counts = np.asarray(test.counts.todense())
  section_row = {s["section_id"]: row for row, s in enumerate(corpus.manifest["sections"])}
  section = np.array([section_row[name] for name in test.spots["section_id"]], np.int32)
  scores = {}
  for name in ("raw", "tf_idf_smooth", "tf_idf", "surprisal"):
    config = KeywordConfig(score=name)
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
  leaked = sorted(set(corpus.manifest["splits"]["test"]) & set(model.train_donors))
  if leaked and not allow_leak:
    raise BadInputError(
      corpus.path,
      "test donors",
      f"{', '.join(leaked)} in the checkpoint's training donors",
      "donors that it has not seen",
      "prepare with other --test_donors, or pass --allow_leak",
    )


def _label(corpus: Corpus, wanted: str) -> str:
  names = list(corpus.manifest["labels"])
  if wanted and wanted not in names:
    raise BadInputError(
      corpus.path,
      "label",
      wanted,
      f"one of {', '.join(names) or 'none'}",
      "pass --label=NAME with a label of the corpus",
    )
  return wanted or (names[0] if names else "")


def draw(corpus: Corpus, cohort: Cohort, label: str, folder: Path) -> None:
  """Labels and domains over the tissue of up to three held-out sections."""
  test = cohort.split("test")
  ids = list(dict.fromkeys(test.spots["section_id"]))[:3]
  columns = {}
  if label:
    columns[label] = corpus.spots[label].to_numpy(str)
  for feature in ("hibio/fused", "hibio/image"):
    groups = np.full(len(corpus.spots), "-1", dtype="<U8")
    for section, rows in test.sections():
      k = len(set(columns[label][corpus.spots["section_id"] == section]) - {""}) if label else 7
      found = domains.cluster(test.features[feature][rows], max(k, 2), seed=0)
      groups[test.spots["spot_index"].to_numpy()[rows]] = found.astype(str)
    columns[f"domains, {feature}"] = groups
  maps.draw_groups(corpus, columns, ids, folder / "domains.png")


if __name__ == "__main__":
  entry.run(main)
