"""New genes behind the genes of a checkpoint, and the old ones that they are expressed with."""

import numpy as np
import pytest
import scipy.sparse

from data_pipelines.genes import GenePanel, extended
from data_pipelines.loading.coexpression import coexpressed
from data_pipelines.loading.corpus import Corpus
from data_pipelines.loading.windows import Windows
from data_pipelines.preparation.pipeline import _corpus_key
from data_pipelines.preparation.statistics import standardised
from data_pipelines.prepare import PrepareOptions, prepare
from data_pipelines.problems import BadInputError
from tests.data_pipelines import hand_made

A, B, C, D = (f"ENSG0000000000{n}" for n in range(4))
IDS = tuple(f"ENSG{n:011d}" for n in range(hand_made.GENES))
OLD = (*IDS[15:20], *IDS[5:10], *IDS[30:])
"""Half of each planted program and background, in an order that no sorting gives."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """A corpus of two donors, prepared with the panel of an older one."""
  folder = tmp_path_factory.mktemp("extended")
  GenePanel(OLD, tuple(f"old-{id_}" for id_ in OLD)).save(folder / "panel.tsv")
  with pytest.MonkeyPatch.context() as patch:
    sections = [hand_made.section("A1", "A"), hand_made.section("B1", "B", rows=5)]
    hand_made.hand_over(patch, map(hand_made.Source, sections))
    options = PrepareOptions(test_donors=("B",), extend_panel=folder / "panel.tsv")
    prepare([folder], folder / "corpus", options)
  return Corpus.open(folder / "corpus")


def test_old_genes_come_first_as_they_were_and_new_ones_follow_in_the_usual_order(made):
  assert made.panel.ids == (*OLD, *(id_ for id_ in IDS if id_ not in OLD))
  assert made.panel.symbols[: len(OLD)] == tuple(f"old-{id_}" for id_ in OLD)
  assert made.statistics["measured"].all()


def test_a_new_gene_is_expressed_with_old_genes_of_its_own_program(made):
  rows, weights = coexpressed(made, len(OLD), num_neighbours=5)
  programs = {IDS[n]: n // 10 for n in range(20)}
  assert rows.max() < len(OLD)
  for new, neighbours in zip(made.panel.ids[len(OLD) :], rows, strict=True):
    found = [programs.get(OLD[row]) for row in neighbours]
    if new in programs:
      assert found == [programs[new]] * 5
  assert (weights >= 0).all()
  assert (np.diff(weights, axis=1) <= 0).all()


def test_correlations_are_numpys_over_the_training_donors(made):
  counts = np.zeros((made.manifest["sections"][0]["num_spots"], len(made.panel)))
  for element in map(Windows(made, ("train",)).__getitem__, range(2)):
    spots = np.repeat(element["spot_index"], np.diff(element["offsets"]))
    counts[spots, element["gene"]] = element["count"]
  tables = (made.statistics[name][0] for name in ("measured", "log_mean", "log_std"))
  z = np.concatenate(list(standardised(scipy.sparse.csr_matrix(counts), *tables)))
  want = np.corrcoef(z.T)[len(OLD) :, : len(OLD)]
  rows, weights = coexpressed(made, len(OLD), num_neighbours=3)
  np.testing.assert_array_equal(rows, np.argsort(-want, axis=1)[:, :3])
  best = np.maximum(np.take_along_axis(want, rows, axis=1), 0)
  np.testing.assert_allclose(weights, best, atol=1e-5)


def test_a_gene_is_old_by_its_id_or_by_its_symbol_where_one_side_has_no_id():
  old = GenePanel((A, "b", C), ("a", "b", "c"))
  # A is there; B is "b", which has no id there; D has the symbol of C, but both have ids; "c" not.
  chosen = GenePanel((A, B, D, "c", "new"), ("other", "b", "c", "c", "new"))
  assert extended(old, chosen).ids == (A, "b", C, D, "new")


def test_nothing_new_gives_the_old_panel_back():
  old = GenePanel((C, A), ("c", "a"))
  assert extended(old, GenePanel((A, C), ("a", "c"))).hash == old.hash


def test_both_panels_at_once_are_refused(tmp_path):
  with pytest.raises(BadInputError, match="one of the two"):
    PrepareOptions(panel=tmp_path / "a", extend_panel=tmp_path / "b")


def test_the_corpus_key_tells_an_extended_panel_from_one_taken_as_it_is(tmp_path):
  GenePanel((A,), ("a",)).save(tmp_path / "panel.tsv")
  keys = {
    _corpus_key({}, {}, {}, PrepareOptions(**{name: tmp_path / "panel.tsv"}))
    for name in ("panel", "extend_panel")
  }
  assert len(keys) == 2
