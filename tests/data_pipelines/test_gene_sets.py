"""Gene sets and how they lie over a panel."""

import tracemalloc

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


def test_the_species_of_gene_sets_is_held_against_that_of_the_first_section():
  human = [f"GENE{n}" for n in range(40)]
  mouse, pig = [name.capitalize() for name in human], [f"ENSSSCG{n:011d}" for n in range(40)]
  with pytest.raises(BadInputError, match="those of mouse .*expected human"):
    gene_sets.check_species({"S": tuple(mouse)}, np.array(human), np.array(human))
  gene_sets.check_species({"S": tuple(human)}, np.array(pig), np.array(human))  # written alike
  gene_sets.check_species({"S": tuple(human)}, np.array(human), np.array(human))


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


def test_near_duplicates_are_those_that_comparing_every_two_sets_finds():
  rng = np.random.default_rng(0)
  panel = GenePanel(*[tuple(f"G{n}" for n in range(60))] * 2)
  sets = {
    f"s{n:03d}": tuple(f"G{g}" for g in rng.choice(60, rng.integers(5, 25), replace=False) // 3)
    for n in range(400)
  }
  names, members, _ = gene_sets.membership(sets, panel, max_jaccard=0.5)
  assert 5 < len(names) < 300
  every = {name: set(genes) for name, genes in sets.items() if len(set(genes)) >= 5}
  kept: list[str] = []
  for name in sorted(every, key=lambda name: (-len(every[name]), name)):
    alike = [len(every[name] & every[k]) / len(every[name] | every[k]) for k in kept]
    if max(alike, default=0) <= 0.5:
      kept.append(name)
  assert names == tuple(sorted(kept))
  assert members.sum() == sum(len(every[name]) for name in kept)


def test_thousands_of_sets_are_not_compared_in_a_table_of_all_by_all(tmp_path):
  genes = np.random.default_rng(0).integers(0, 2000, (8_000, 8))
  lines = ["\t".join([f"s{n}", "", *map("G{}".format, row)]) for n, row in enumerate(genes)]
  path = gmt(tmp_path, "\n".join(lines))
  panel = GenePanel(*[tuple(f"G{n}" for n in range(2000))] * 2)
  tracemalloc.start()
  try:
    names, _, _ = gene_sets.membership(gene_sets.read_gmt(path), panel)
    assert tracemalloc.get_traced_memory()[1] < 60e6  # all by all, in float32: 256 MB
  finally:
    tracemalloc.stop()
  assert len(names) > 7_000


def test_a_gene_of_many_sets_is_in_memory_once(tmp_path):
  """As text of its own in each of MSigDB's 34,000 sets it would take hundreds of megabytes."""
  found = gene_sets.read_gmt(gmt(tmp_path, "a\t\tGENE1\tGENE2\nb\t\tGENE2,1.0\tGENE3\n"))
  assert found["a"][1] is found["b"][0]
