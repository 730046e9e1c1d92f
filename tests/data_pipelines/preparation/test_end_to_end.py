"""From vendors' folders to batches: synthetic tissue, and real sections if there are any."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_pipelines import synthetic
from data_pipelines.loading import loader
from data_pipelines.loading.corpus import Corpus
from data_pipelines.prepare import PrepareOptions, prepare

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
  folder = tmp_path_factory.mktemp("tiny")
  raw = synthetic.write("tiny", folder / "raw", 0)
  prepare([raw], folder / "corpus", PrepareOptions(gene_sets=(raw / "programs.gmt",)))
  return raw, Corpus.open(folder / "corpus")


def test_synthetic_tissue_keeps_its_truth_through_preparation(tissue):
  raw, corpus = tissue
  for section in corpus.manifest["sections"]:
    name = section["section_id"]
    truth = pd.read_csv(raw / name / "labels.csv", dtype=str).set_index("barcode")["leaf"]
    spots = corpus.spots[corpus.spots["section_id"] == name].set_index("spot_id")
    assert (spots["leaf"] == truth.loc[spots.index]).all()
    assert section["num_spots"] > 0.95 * len(truth)
  assert corpus.membership.shape[0] > 0
  assert len(corpus.manifest["splits"]["test"]) == 1


def test_patches_of_synthetic_tissue_are_tissue_and_counts_are_whole(tissue):
  _, corpus = tissue
  totals = np.zeros(len(corpus.spots), int)
  for batch in loader.windows_once(corpus, ("train", "test"), 2):
    real = batch["spot_mask"]
    assert batch["has_patch"][real].all()
    assert batch["patches"][real].std((1, 2, 3)).min() > 2
    totals[batch["spot_index"][real]] = batch["counts"][real].sum(-1)
  np.testing.assert_array_equal(totals, corpus.spots["total_counts"])


def test_the_command_says_what_is_wrong_in_one_line(tissue, tmp_path):
  raw, _ = tissue
  done = subprocess.run(
    [sys.executable, "-m", "data_pipelines.prepare", f"--input={raw}",
     f"--output={tmp_path / 'corpus'}", "--test_donors=Nobody"],
    cwd=ROOT, capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert done.returncode == 3
  assert done.stderr.startswith("hibio: --test_donors: donor: found 'Nobody'")
  assert len(done.stderr.splitlines()) == 1


def test_real_sections_prepare_whole_and_by_patient(real_data, tmp_path):
  options = PrepareOptions(
    gene_sets=(real_data / "genesets" / "h.all.v7.0.symbols.gmt",),
    metadata=ROOT / "experiments" / "datasets" / "her2st.csv",
    sections=("A1", "C1", "D1"), test_donors=("A",),
  )  # fmt: skip
  prepare([real_data / "her2st"], tmp_path / "corpus", options)
  corpus = Corpus.open(tmp_path / "corpus")
  assert corpus.manifest["splits"] == {"train": ["C", "D"], "validation": [], "test": ["A"]}
  assert [s["num_spots"] for s in corpus.manifest["sections"]] == [346, 176, 306]
  assert len(corpus.panel) > 10_000
  assert corpus.membership.shape[0] > 40
  assert {"invasive cancer", "adipose tissue"} <= set(corpus.manifest["labels"]["pathologist"])
  (batch,) = loader.windows_once(corpus, ("test",), 6)
  patches = batch["patches"][batch["has_patch"]]
  assert len(patches) == 346
  # H&E: red and blue above green; glass is white in all three, off-tissue paint is black.
  red, green, blue = patches.mean((0, 1, 2))
  assert min(red, blue) > green + 10
  assert 60 < green < 230
