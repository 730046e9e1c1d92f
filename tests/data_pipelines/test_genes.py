"""Choosing genes and laying sections over them."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse

from data_pipelines import alignment, genes
from data_pipelines.problems import BadInputError
from data_pipelines.section import Section

A, B, C, D = (f"ENSG0000000000{n}" for n in range(4))


def section(counts, ids, symbols=None, section_id="S"):
  counts = scipy.sparse.csr_matrix(np.array(counts, np.int32))
  spots = counts.shape[0]
  return Section(
    section_id=section_id,
    donor_id="d",
    platform="visium",
    species="human",
    counts=counts,
    gene_ids=np.array(ids, object),
    gene_symbols=np.array(ids if symbols is None else symbols, object),
    spot_ids=np.array([f"s{n}" for n in range(spots)], object),
    positions_um=np.zeros((spots, 2)),
    positions_px=np.zeros((spots, 2)),
    array_positions=np.zeros((spots, 2), np.int32),
    um_per_px=1.0,
    um_per_px_source="test",
  )


def panel_of(*sections, **options):
  return genes.choose_panel([genes.summarise(s) for s in sections], **options)


def test_a_gene_must_be_detected_in_enough_spots_and_measured_in_half_of_the_sections():
  one = section([[1, 0, 5, 1], [1, 0, 0, 1]], [A, B, C, D], ["a", "b", "c", "d"], "1")
  two = section([[1], [1]], [A], ["a"], "2")
  three = section([[3, 0], [1, 0]], [A, C], ["a", "c"], "3")
  # B is never detected, D is measured in one of three, C is detected in one of four spots.
  assert panel_of(one, two, three, min_document_share=0.25).ids == (A, C)
  assert panel_of(one, two, three, min_document_share=0.26).ids == (A,)


def test_the_panel_does_not_depend_on_the_order_of_sections_or_genes():
  one = section([[1, 2, 3]], [C, A, B], ["c", "a", "b"], "1")
  two = section([[1, 2, 3]], [B, C, A], ["b", "c", "a"], "2")
  assert panel_of(one, two) == panel_of(two, one)
  assert panel_of(one, two).ids == (A, B, C)


def test_max_genes_keeps_the_most_widely_detected():
  one = section([[1, 1, 0], [1, 1, 0], [0, 1, 9]], [A, B, C], ["a", "b", "c"])
  assert panel_of(one, max_genes=2).ids == (A, B)


def test_a_section_with_symbols_only_joins_one_with_ensembl_ids():
  both = section([[1, 1]], [A, B], ["a", "b"], "1")
  symbols = section([[1, 1]], ["b", "x"], None, "2")
  panel = panel_of(both, symbols)
  assert panel.ids == (A, B, "x")
  assert panel.symbols == ("a", "b", "x")


def test_alignment_puts_each_gene_in_its_column_by_id_or_by_symbol():
  panel = genes.GenePanel((A, B, C), ("a", "b", "c"))
  by_id = alignment.align(section([[3, 1, 7]], [C, A, D], ["c", "a", "d"]), panel)
  np.testing.assert_array_equal(by_id.counts.toarray(), [[1, 0, 3]])
  np.testing.assert_array_equal(by_id.measured, [True, False, True])
  assert by_id.dropped == {"genes outside the panel": 1, "panel genes not measured": 1}
  by_symbol = alignment.align(section([[3, 1, 7]], ["c", "b", "a"]), panel)
  np.testing.assert_array_equal(by_symbol.counts.toarray(), [[7, 1, 3]])
  assert by_symbol.counts.dtype == np.int32
  assert by_symbol.dropped == {}


def test_an_ensembl_id_outside_the_panel_is_not_smuggled_in_by_a_shared_symbol():
  panel = genes.GenePanel((A, C), ("twin", "c"))
  both = alignment.align(section([[1, 10, 5]], [A, B, C], ["twin", "twin", "c"]), panel)
  np.testing.assert_array_equal(both.counts.toarray(), [[1, 5]])
  other = alignment.align(section([[10, 5]], [B, C], ["twin", "c"]), panel)
  np.testing.assert_array_equal(other.measured, [False, True])


def test_a_panel_gene_that_the_section_does_not_measure_is_not_measured_rather_than_zero():
  panel = genes.GenePanel((A, B), ("a", "b"))
  aligned = alignment.align(section([[0]], [A], ["a"]), panel)
  np.testing.assert_array_equal(aligned.measured, [True, False])


def test_the_wrong_species_is_refused_with_names_of_both_sides():
  panel = genes.GenePanel((A, B), ("a", "b"))
  mouse = section([[1]], ["ENSMUSG00000000001"], ["Gnai3"])
  with pytest.raises(BadInputError, match="ENSMUSG00000000001.*ENSG00000000000"):
    alignment.align(mouse, panel)


def test_sections_without_a_common_gene_give_no_panel():
  with pytest.raises(BadInputError, match="none of 3 genes"):
    panel_of(*(section([[1]], [i], None, i) for i in (A, B, C)))


def test_a_panel_comes_back_from_its_file(tmp_path):
  panel = genes.GenePanel((A, "HLA-A"), ("a", "HLA-A"))
  panel.save(tmp_path / "panel.tsv")
  assert genes.GenePanel.load(tmp_path / "panel.tsv") == panel


@pytest.mark.parametrize(
  ("text", "field"),
  [
    ("", "header"),
    ("gene\n", "header"),
    ("id\tsymbol\nA\n", "line 2"),
    ("id\tsymbol\nA\ta\nA\tb\n", "id"),
  ],
)
def test_a_damaged_panel_file_is_named(tmp_path, text, field):
  (tmp_path / "panel.tsv").write_text(text)
  with pytest.raises(BadInputError) as problem:
    genes.GenePanel.load(tmp_path / "panel.tsv")
  assert problem.value.field == field


def test_two_panels_with_the_same_ids_in_another_order_differ_in_hash():
  panel = genes.GenePanel((A, B), ("a", "b"))
  assert panel.hash != dataclasses.replace(panel, ids=(B, A)).hash


def test_a_section_that_measures_little_of_a_panel_says_so():
  ids = [f"ENSG{n:011d}" for n in range(1200)]
  panel = genes.GenePanel(tuple(ids), tuple(ids))

  def notes(number):
    found = alignment.map_onto("S", np.array(ids[:number]), np.array(ids[:number]), panel)
    return " ".join(found.notes)

  assert notes(1000) == ""
  assert "(800 of 1,200, 67%)" in notes(800)
  assert "less than half" in notes(300)
  assert "a targeted panel of 300 genes" in notes(300)
  assert "at most 75 keyword genes" in notes(300)


def test_counts_of_genes_of_one_name_are_summed_without_wrapping_round():
  panel = genes.GenePanel((A,), ("a",))
  many = section([[2**30, 2**30 - 1]], [A, "a"], ["a", "a"])
  panel_map = alignment.map_onto("S", np.array([A, A]), np.array(["a", "a"]), panel)
  assert panel_map.counts(many.counts).toarray().tolist() == [[2**31 - 1]]
  with pytest.raises(BadInputError, match="above 2"):
    panel_map.counts(section([[2**30, 2**30]], [A, "x"]).counts)


def test_two_species_are_told_apart_by_ids_or_by_how_symbols_are_written():
  human, mouse = [f"ENSG{n:011d}" for n in range(50)], [f"ENSMUSG{n:011d}" for n in range(50)]
  assert genes.species_mixed(human + mouse, human + mouse) == {"human": 50, "mouse": 50}
  assert genes.species_mixed(human + mouse[:2], human + mouse[:2]) == {}
  words = ["EPCAM", "KRT8", "CD3E", "ACTB", "GAPDH", "MYC", "TP53", "VIM", "FN1", "LUM"]
  many = [f"{word}{n}" for word in words for n in range(5)]
  small = [word.capitalize() for word in many]
  assert set(genes.species_mixed(many + small, many + small)) == {"human", "mouse"}
  assert genes.species_mixed(small + many[:5], small + many[:5]) == {}


def test_names_that_r_spelled_find_the_one_gene_of_the_panel_that_they_were():
  panel = genes.GenePanel(("ENSG00000000001", "b", "c"), ("A1BG-AS1", "7SK", "HLA-A"))
  own = np.array(["A1BG.AS1", "X7SK", "HLA.A", "HLA-A"])
  assert alignment.panel_rows(own, own, panel).tolist() == [0, 1, -1, 2]


def test_names_that_r_spelled_and_that_may_be_two_genes_stay():
  panel = genes.GenePanel(("a", "b", "C.1", "d"), ("A-1", "A/1", "C.1", "C-1"))
  own = np.array(["A.1", "C.1"])
  assert alignment.panel_rows(own, own, panel).tolist() == [-1, 2]
