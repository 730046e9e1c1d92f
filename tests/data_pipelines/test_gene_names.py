"""Tables that translate gene names, alone and where sections are prepared together."""

import dataclasses
import gzip

import numpy as np
import pytest

from data_pipelines import gene_names
from data_pipelines.alignment import align
from data_pipelines.gene_names import GeneNames
from data_pipelines.genes import GenePanel
from data_pipelines.prepare import PrepareOptions, prepare
from data_pipelines.problems import BadInputError
from tests.data_pipelines import hand_made


def table(path, text):
  content = text.encode()
  path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
  return path


@pytest.mark.parametrize("name", ["names.tsv", "names.tsv.gz", "names.csv"])
def test_ensembl_ids_get_the_symbols_that_they_lack_and_keep_those_they_have(tmp_path, name):
  sep = "," if name.endswith("csv") else "\t"
  lines = [("ensembl_id", "symbol"), ("ENSG00000000001.4", "AAA"), ("ENSG00000000002", "BBB")]
  names = GeneNames.read(table(tmp_path / name, "".join(sep.join(row) + "\n" for row in lines)))
  ids = ["ENSG00000000001", "ENSG00000000002", "ENSG00000000003", "CCC"]
  found = names.symbols(ids, ["ENSG00000000001", "MINE", "ENSG00000000003", "CCC"])
  assert found == ["AAA", "MINE", "ENSG00000000003", "CCC"]


def test_a_gene_is_suggested_by_what_people_say_for_it_before_what_is_spelled_alike():
  known = ["IER2", "ERBB2", "CD274", "MKI67", "GATA3"]
  assert gene_names.meant_by("HER2", known) == "ERBB2"
  assert gene_names.meant_by("PD-L1", known) == "CD274"
  assert gene_names.meant_by("Erbb2", known) == "ERBB2"
  assert gene_names.meant_by("GATA33", known) == "GATA3"
  assert gene_names.meant_by("HER2", ["IER2"]) == "IER2"


def test_an_alias_is_renewed_unless_it_is_a_symbol_itself_or_means_two(tmp_path):
  text = "alias\tsymbol\nOLD\tNEW\nTWO\tA\nTWO\tB\nA\tNEW\n"
  names = GeneNames.read(table(tmp_path / "names.tsv", text))
  symbols = ["OLD", "TWO", "A", "X"]
  assert names.symbols(symbols, symbols) == ["NEW", "TWO", "A", "X"]


def test_names_that_r_spelled_are_those_of_the_table_again(tmp_path):
  text = "alias\tsymbol\nHLA-OLD\tHLA-A\nX\tNKX2-1\n"
  names = GeneNames.read(table(tmp_path / "names.tsv", text))
  spelled = ["HLA.OLD", "HLA.A", "NKX2.1", "OTHER.1"]
  _, symbols = names.translated(spelled, spelled)
  assert symbols.tolist() == ["HLA-A", "HLA-A", "NKX2-1", "OTHER.1"]


def test_other_columns_are_refused(tmp_path):
  with pytest.raises(BadInputError, match="ensembl_id and symbol"):
    GeneNames.read(table(tmp_path / "names.tsv", "id\tname\na\tb\n"))


def test_a_panel_of_ensembl_ids_finds_a_section_of_symbols_and_stays_the_same_panel(tmp_path):
  section = hand_made.section("S", "D")
  rows = "".join(f"{i}\t{s}\n" for i, s in zip(section.gene_ids, section.gene_symbols, strict=True))
  names = GeneNames.read(table(tmp_path / "names.tsv", "ensembl_id\tsymbol\n" + rows))
  panel = GenePanel(tuple(section.gene_ids[5:]), tuple(section.gene_ids[5:]))
  by_symbol = dataclasses.replace(section, gene_ids=section.gene_symbols)
  with pytest.raises(BadInputError, match="--gene_names"):
    align(by_symbol, panel)
  named = names.on_panel(panel)
  assert named.hash == panel.hash
  got = align(by_symbol, named)
  np.testing.assert_array_equal(got.counts.toarray(), section.counts.toarray()[:, 5:])


def test_two_old_names_of_one_gene_stay_apart(tmp_path):
  names = GeneNames.read(table(tmp_path / "names.tsv", "alias\tsymbol\nG0\tNEW\nG1\tNEW\n"))
  section = hand_made.section("S", "D")
  section = dataclasses.replace(section, gene_ids=section.gene_symbols)
  assert names.on_section(section).gene_ids.tolist() == section.gene_ids.tolist()


def test_sections_of_ids_and_of_symbols_share_their_genes_in_a_corpus(tmp_path, monkeypatch):
  first, second = hand_made.section("A", "D"), hand_made.section("B", "E", seed=1)
  pairs = zip(first.gene_ids, first.gene_symbols, strict=True)
  path = table(
    tmp_path / "names.tsv", "ensembl_id\tsymbol\n" + "".join(f"{i}\t{s}\n" for i, s in pairs)
  )
  by_id = dataclasses.replace(first, gene_symbols=first.gene_ids)
  by_symbol = dataclasses.replace(second, gene_ids=second.gene_symbols)
  hand_made.hand_over(monkeypatch, [hand_made.Source(by_id), hand_made.Source(by_symbol)])
  options = PrepareOptions(test_donors=(), validation_donors=(), gene_names=path)
  manifest = prepare([tmp_path], tmp_path / "with", options)
  assert manifest["panel"]["num_genes"] == hand_made.GENES
  assert [s["num_measured"] for s in manifest["sections"]] == [hand_made.GENES] * 2
  apart = prepare([tmp_path], tmp_path / "without", dataclasses.replace(options, gene_names=None))
  assert apart["panel"]["num_genes"] == 2 * hand_made.GENES


def test_hgncs_complete_set_is_read_as_it_is(tmp_path):
  text = (
    "hgnc_id\tsymbol\tname\talias_symbol\tprev_symbol\tensembl_gene_id\n"
    'HGNC:1\tSEPTIN7\tseptin 7\t"CDC10|SEPT7A"\tSEPT7\tENSG00000000001\n'
    'HGNC:2\tCDC10X\tother\t"CDC10"\t\tENSG00000000002\n'
  )
  names = GeneNames.read(table(tmp_path / "hgnc.txt", text))
  symbols = ["SEPT7", "SEPT7A", "CDC10", "ENSG00000000002"]
  assert names.symbols(symbols, symbols) == ["SEPTIN7", "SEPTIN7", "CDC10", "CDC10X"]


def test_several_symbols_of_one_alias_make_it_ambiguous(tmp_path):
  names = GeneNames.read(table(tmp_path / "names.tsv", "alias\tsymbol\nOLD\tA /// B\nX\tC\n"))
  assert names.symbols(["OLD", "X"], ["OLD", "X"]) == ["OLD", "C"]


def test_genes_of_a_mouse_lie_on_a_human_panel_by_their_only_orthologs(tmp_path):
  human = [f"ENSG0000000000{n}" for n in range(4)]
  text = (
    f"gene,ortholog\nENSMUSG00000000001.3,{human[0]}\nEpcam,{human[0]}\nKrt8,{human[1]}\n"
    f"Twin1,{human[2]}\nTwin2,{human[2]}\nMany,{human[1]}\nMany,{human[3]}\n"
  )
  names = GeneNames.read(table(tmp_path / "orthologs.csv", text))
  section = hand_made.section("S", "D")
  ids = np.array(["ENSMUSG00000000001", "ENSMUSG00000000002", "Twin1", "Many", "Other"], object)
  symbols = np.array(["Epcam", "Krt8", "Twin1", "Many", "Other"], object)
  mouse = dataclasses.replace(
    section, counts=section.counts[:, :5], gene_ids=ids, gene_symbols=symbols, species="mouse"
  )
  found = align(names.on_section(mouse), GenePanel(tuple(human), ("EPCAM", "KRT8", "TWIN", "MANY")))
  np.testing.assert_array_equal(found.measured, [True, True, False, False])
  np.testing.assert_array_equal(found.counts.toarray()[:, :2], section.counts.toarray()[:, :2])
