"""The gene sets of a run are those that its config names."""

import numpy as np
import pytest

from data_pipelines.loading.corpus import Corpus
from data_pipelines.problems import BadInputError
from experiments import hibio as experiment
from hibio import corpora, pretrained, pretraining
from tests.experiments.conftest import run


@pytest.fixture(scope="module")
def corpus(workdir):
  return Corpus.open(workdir.parent / "synthetic-tiny" / "corpus")


@pytest.fixture(scope="module")
def with_random_sets(workdir):
  """The run of `workdir` once more, with random gene sets of the same sizes."""
  path = workdir.parent / "random"
  done = run(
    "experiments.pretrain", "--config=experiments/hibio.py:test", f"--config.workdir={path}",
    "--config.gene_sets=random", "--config.training.evaluate_every=0",
  )  # fmt: skip
  assert done.returncode == 0, done.stderr[-2000:]
  return path


@pytest.mark.slow
def test_a_checkpoint_holds_the_random_sets_that_it_was_trained_with(with_random_sets, corpus):
  with np.load(with_random_sets / "corpus.npz") as saved:
    names, sizes = saved["names"].tolist(), np.bincount(saved["pathway"])
    genes = set(zip(saved["pathway"].tolist(), saved["gene"].tolist(), strict=True))
  assert names == [f"random {n + 1}" for n in range(len(corpus.gene_set_names))]
  np.testing.assert_array_equal(sizes, corpus.membership.sum(1))
  assert genes != set(zip(*np.nonzero(corpus.membership), strict=True))


@pytest.mark.slow
def test_its_anchors_over_the_corpus_own_sets_are_made_of_their_genes_alone(
  workdir, with_random_sets, corpus
):
  learned = pretrained.load(with_random_sets)
  assert np.any(learned.params["anchor_offset"])
  over = corpora.params_over(learned, corpus)
  assert over["anchor_offset"].shape[0] == len(corpus.gene_set_names)
  np.testing.assert_array_equal(over["anchor_offset"], 0.0)
  # The usual run keeps what it learned of these sets.
  usual = pretrained.load(workdir)
  assert np.any(corpora.params_over(usual, corpus)["anchor_offset"])


@pytest.mark.slow
def test_a_run_does_not_go_on_with_other_sets_than_it_began_with(with_random_sets, corpus):
  config = experiment.get_config("test")
  config.update(workdir=str(with_random_sets), corpus=str(corpus.path), gene_sets="random")
  config.gene_sets_seed = 1
  config.training.mesh = (1, 1, 1)
  with pytest.raises(BadInputError, match=r"corpus\.fingerprint"):
    pretraining.run(config)


def test_an_empty_choice_is_the_corpus_as_it_is(corpus):
  assert corpora.chosen(corpus, "", 0) is corpus


def test_gmt_files_are_named_with_commas_between_them(corpus, tmp_path):
  genes = list(corpus.panel.symbols)
  for name, own in (("one", genes[:6]), ("two", genes[10:17])):
    (tmp_path / f"{name}.gmt").write_text("\t".join([name, "", *own]) + "\n")
  changed = corpora.chosen(corpus, f"{tmp_path}/one.gmt, {tmp_path}/two.gmt", 0)
  assert changed.gene_set_names == ("one", "two")
  np.testing.assert_array_equal(changed.membership.sum(1), [6, 7])
  assert changed.statistics["activity_std"].shape == (len(corpus.manifest["sections"]), 2)


@pytest.mark.parametrize("given", ["nowhere.gmt", "Random"])
def test_a_file_that_is_not_there_is_named(corpus, given):
  with pytest.raises(BadInputError, match=given):
    corpora.chosen(corpus, given, 0)
