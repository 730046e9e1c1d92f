"""A corpus with other gene sets is the corpus that would have been prepared with them."""

import dataclasses

import numpy as np
import pytest

from data_pipelines.gene_sets import Pathways
from data_pipelines.loading.corpus import Corpus
from data_pipelines.prepare import PrepareOptions, prepare
from data_pipelines.problems import BadInputError
from tests.data_pipelines import hand_made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A corpus of two donors, the GMT file of other sets, and a second corpus prepared with those."""
  folder = tmp_path_factory.mktemp("other")
  sections = [hand_made.section(name, name[0], rows=6) for name in ("A1", "A2", "B1")]
  # B1's platform lacks genes of the first other set.
  lacking = np.flatnonzero(np.arange(hand_made.GENES) % 8 != 5)
  sections[2] = dataclasses.replace(
    sections[2],
    counts=sections[2].counts[:, lacking],
    gene_ids=sections[2].gene_ids[lacking],
    gene_symbols=sections[2].gene_symbols[lacking],
  )
  sets = {"mixed": range(5, 25, 2), "few": (5, 13, 21, 29, 37), "right": range(10, 20)}
  lines = ["\t".join([name, "", *(f"G{n}" for n in genes)]) for name, genes in sets.items()]
  (folder / "other.gmt").write_text("\n".join(lines) + "\n")
  own = hand_made.gene_sets(folder)
  with pytest.MonkeyPatch.context() as patch:
    hand_made.hand_over(patch, [hand_made.Source(section) for section in sections])
    options = PrepareOptions(window_spots=24, test_donors=("B",), region_um=(283.0, 490.0))
    for name, gmt in (("corpus", own), ("wanted", folder / "other.gmt")):
      prepare([folder], folder / name, dataclasses.replace(options, gene_sets=(gmt,)))
  return folder


@pytest.fixture(scope="module")
def corpus(folder):
  return Corpus.open(folder / "corpus")


@pytest.fixture(scope="module")
def changed(folder, corpus):
  return corpus.with_gene_sets(Pathways.read([folder / "other.gmt"], corpus.panel))


def test_the_tables_are_those_of_a_corpus_prepared_with_the_file(folder, changed):
  wanted = Corpus.open(folder / "wanted")
  assert changed.gene_set_names == wanted.gene_set_names == ("few", "mixed", "right")
  np.testing.assert_array_equal(changed.membership, wanted.membership)
  assert set(changed.statistics) == set(wanted.statistics)
  for name, values in wanted.statistics.items():
    # Means and deviations of genes are read back in float32.
    np.testing.assert_allclose(changed.statistics[name], values, rtol=1e-5, atol=1e-6, err_msg=name)
    assert changed.statistics[name].dtype == values.dtype
  assert (wanted.statistics["activity_std"][:2] < 1).all()
  assert wanted.statistics["activity_std"][2, 0] == 1  # too few genes of "few" there


def test_its_fingerprint_is_that_of_the_corpus_prepared_with_the_file(folder, corpus, changed):
  assert changed.fingerprint != corpus.fingerprint
  assert changed.fingerprint == Corpus.open(folder / "wanted").fingerprint


def test_all_else_stays_and_the_old_corpus_keeps_its_sets(folder, corpus, changed):
  before = Corpus.open(folder / "corpus")
  assert corpus.gene_set_names == before.gene_set_names == ("left", "other", "right")
  for name, values in before.statistics.items():
    np.testing.assert_array_equal(corpus.statistics[name], values)
  np.testing.assert_array_equal(changed.regions, before.regions)
  assert changed.panel.hash == before.panel.hash
  assert {**changed.manifest, "gene_sets": 0} == {**before.manifest, "gene_sets": 0}


def test_random_sets_have_the_sizes_of_the_corpus_and_names_of_their_own(corpus):
  drawn = corpus.with_random_gene_sets(seed=3)
  assert drawn.gene_set_names == ("random 1", "random 2", "random 3")
  np.testing.assert_array_equal(drawn.membership.sum(1), corpus.membership.sum(1))
  assert (drawn.membership != corpus.membership).any(1).all()
  assert not np.array_equal(drawn.statistics["activity_std"], corpus.statistics["activity_std"])


def test_a_seed_gives_one_draw_and_another_seed_another_corpus(corpus):
  first, again, other = (corpus.with_random_gene_sets(seed) for seed in (0, 0, 1))
  np.testing.assert_array_equal(first.membership, again.membership)
  assert first.fingerprint == again.fingerprint
  assert not np.array_equal(first.membership, other.membership)
  assert len({first.fingerprint, other.fingerprint, corpus.fingerprint}) == 3


def test_random_sets_hold_measured_genes_only_and_each_of_them_equally_often():
  like = np.zeros((3000, 20), bool)
  like[:, :8] = True
  measured = np.arange(20) % 4 != 0
  members = Pathways.random(like, measured, seed=0).membership.toarray()
  assert set(members.sum(1)) == {6}  # two of the eight are not measured
  assert not members[:, ~measured].any()
  np.testing.assert_allclose(members[:, measured].mean(0), 6 / 15, atol=0.04)


def test_genes_that_no_training_donor_measures_are_not_drawn(corpus):
  unseen = np.arange(hand_made.GENES) < 12
  measured = corpus.statistics["measured"].copy()
  measured[:2, unseen] = False  # A1 and A2, the training donors'
  assert measured[2, unseen].any()
  bare = dataclasses.replace(corpus, statistics={**corpus.statistics, "measured": measured})
  drawn = bare.with_random_gene_sets(seed=0)
  assert not drawn.membership[:, unseen].any()
  assert drawn.membership.any()


def test_no_gene_sets_at_all_are_gene_sets_too(corpus):
  bare = corpus.with_gene_sets(Pathways.none(corpus.panel))
  assert bare.membership.shape == (0, hand_made.GENES)
  assert bare.statistics["activity_mean"].shape == (3, 0)


def test_a_damaged_shard_is_named(corpus, tmp_path):
  lost = dataclasses.replace(corpus, path=tmp_path)
  with pytest.raises(BadInputError, match="A1"):
    lost.with_random_gene_sets(seed=0)
