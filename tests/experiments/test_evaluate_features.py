"""Somebody else's features are evaluated without a checkpoint."""

import json

import numpy as np
import pandas as pd
import pytest

from data_pipelines import synthetic
from data_pipelines.loading.corpus import Corpus
from data_pipelines.prepare import PrepareOptions, prepare
from hibio.evaluation.baselines.planted import perfect_features
from tests.experiments.conftest import call


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
  folder = tmp_path_factory.mktemp("features")
  synthetic.write("tiny", folder / "raw", 0, "preset")
  prepare(
    [folder / "raw"], folder / "corpus", PrepareOptions(gene_sets=(folder / "raw/programs.gmt",))
  )
  return Corpus.open(folder / "corpus")


def test_features_that_know_the_tissue_win_and_noise_does_not(corpus, tmp_path):
  keys = corpus.spots[["section_id", "spot_id"]]
  knows = perfect_features(corpus.path.parent / "raw" / "truth.json", corpus.spots)["image"]
  noise = np.random.default_rng(0).normal(size=(len(keys), 16)).astype(np.float32)
  for name, values in (("knows", knows), ("noise", noise)):
    table = pd.concat([keys, pd.DataFrame(values).add_prefix("f")], axis=1)
    table.to_parquet(tmp_path / f"{name}.parquet")
  store = corpus.feature_store("beside")
  store.begin({"name": "beside", "hash": "0" * 16, "width": knows.shape[1]})
  for section, rows in keys.groupby("section_id", sort=False).indices.items():
    store.put(section, knows[rows])
  done = call(
    "experiments.evaluate", f"--features=knows={tmp_path / 'knows.parquet'}",
    f"--features=noise={tmp_path / 'noise.parquet'}", "--features=beside",
    f"--corpus={corpus.path}", f"--output={tmp_path / 'out'}",
    "--tasks=expression,retrieval,annotation,anchors", "--label=compartment",
  )  # fmt: skip
  assert done.returncode == 0, done.stderr[-2000:]
  assert "| task | metric | knows |" in done.stdout
  rows = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
  assert {row["task"] for row in rows} == {"expression", "retrieval", "annotation"}

  def value(method, protocol, metric):
    (row,) = (
      r for r in rows
      if r["method"] == method and r["protocol"].startswith(protocol) and r["metric"] == metric
    )  # fmt: skip
    assert row["chance"] is not None
    return row["value"]

  asked = "reduced_rank, log1p_cp10k, hvg50", "pearson_in_section"
  assert value("knows/image", *asked) > 0.2 > 0.12 > value("noise/image", *asked)
  assert value("beside/image", *asked) > 0.2
  own = "image_to_gene, gallery: own section", "recall@10"
  assert value("knows ridge to pca", *own) > value("noise ridge to pca", *own)
  page = (tmp_path / "out" / "report.html").read_text()
  assert "knows, from H&amp;E" in page
  assert ">HiBio-ST<" not in page


@pytest.mark.parametrize(
  ("arguments", "says"),
  [
    ((), "a work directory, or --features alone"),
    (("--features=nowhere",), "nowhere"),
    (("--compare=a=b", "--features=x=y"), "--checkpoint"),
  ],
)
def test_what_is_missing_is_one_line(corpus, tmp_path, arguments, says):
  done = call(
    "experiments.evaluate", f"--corpus={corpus.path}", f"--output={tmp_path / 'out'}", *arguments
  )
  assert done.returncode == 3
  assert says in done.stderr.strip().splitlines()[-1]
  assert not (tmp_path / "out").exists()
