"""Gene sets and how they lie over a panel."""

import numpy as np
import pytest

from data_pipelines import gene_sets
from data_pipelines.genes import GenePanel
from data_pipelines.problems import BadInputError

PANEL = GenePanel(tuple("ABCDEFGH"), tuple("abcdefgh"))


def gmt(tmp_path, text):
  path = tmp_path / "sets.gmt"
  path.write_text(text)
  return path


def test_an_empty_description_and_trailing_tabs_are_no_genes(tmp_path):
  sets = gene_sets.read_gmt(gmt(tmp_path, "one\t\ta\tb\t\t\r\ntwo\thttp://x\tHLA-A\n\n"))
  assert sets == {"one": ("a", "b"), "two": ("HLA-A",)}


def test_sets_of_one_name_are_merged_and_genes_count_once(tmp_path):
  assert gene_sets.read_gmt(gmt(tmp_path, "s\t\ta\tb\ta\ns\t\tb\tc\n")) == {"s": ("a", "b", "c")}


@pytest.mark.parametrize("text", ["no tabs here\n", "\tdescription\ta\n", "name\tdescription\n"])
def test_a_file_without_gene_sets_is_refused(tmp_path, text):
  with pytest.raises(BadInputError):
    gene_sets.read_gmt(gmt(tmp_path, text))


def test_members_are_found_by_symbol_and_by_id():
  names, members, dropped = gene_sets.membership({"s": ("a", "C", "x")}, PANEL, min_genes=2)
  assert names == ("s",)
  np.testing.assert_array_equal(np.flatnonzero(members[0]), [0, 2])
  assert dropped == {}


def test_of_two_near_duplicates_the_larger_stays_and_the_rest_is_counted():
  sets = {
    "a small": tuple("abc"),
    "b large": tuple("abcde"),
    "c other": tuple("fgh"),
    "d tiny": ("a",),
    "e whole": tuple("abcdefgh"),
  }
  names, members, dropped = gene_sets.membership(sets, PANEL, min_genes=2, max_genes=6)
  assert names == ("b large", "c other")
  assert members.sum(axis=1).tolist() == [5, 3]
  assert sorted(dropped.values()) == [1, 1, 1]


def test_a_set_that_shares_exactly_the_limit_stays():
  sets = {"a": tuple("abcd"), "b": tuple("ab")}
  assert len(gene_sets.membership(sets, PANEL, min_genes=2, max_jaccard=0.5)[0]) == 2
  assert len(gene_sets.membership(sets, PANEL, min_genes=2, max_jaccard=0.49)[0]) == 1


def test_sets_of_another_species_are_refused_with_names_of_both_sides():
  with pytest.raises(BadInputError, match=r"Trp53.*\ba, b, c"):
    gene_sets.membership({"s": ("Trp53", "Myc")}, PANEL)


def test_real_gene_set_files_read_whatever_their_second_column(real_data):
  folder = real_data / "genesets"
  sizes = {
    "h.all.v7.0.symbols.gmt": 50,
    "ReactomePathways_2024-09-18.gmt": 2694,
    "WikiPathways_2019_Human.gmt": 472,
  }
  for name, size in sizes.items():
    sets = gene_sets.read_gmt(folder / name)
    assert len(sets) == size
    assert all(gene and "," not in gene for genes in sets.values() for gene in genes)
