"""What a matrix of counts is checked for, whatever file it came from."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from data_pipelines import readers
from data_pipelines.problems import BadInputError
from data_pipelines.readers.annotated import contents, raw_matrix
from data_pipelines.readers.metadata import Entry
from data_pipelines.readers.raw_counts import RawCounts
from tests.data_pipelines import annotated

OTHERS = ["EPCAM", "KRT8", "CD3E", "ACTB"]


def cleaned(names, counts=None, ids=None, **said):
  counts = np.ones((2, len(names)), np.int32) if counts is None else np.array(counts)
  names = np.array(names)
  ids = names if ids is None else np.array(ids)
  kinds = np.full(len(names), "")
  spots = np.array([f"s{n}" for n in range(1, len(counts) + 1)])
  return RawCounts(Path("f"), scipy.sparse.csr_matrix(counts), spots, ids, names, kinds).cleaned(
    Entry(**said)
  )


def test_genes_that_a_spreadsheet_made_one_date_are_not_summed():
  raw = cleaned(["1-Mar", "1-Mar", "7-Sep", *OTHERS])
  assert raw.gene_ids.tolist() == ["SEPT7", *OTHERS]
  assert raw.counts.max() == 1
  assert raw.dropped == {"genes whose names a spreadsheet made dates of several genes": 2}
  assert any("7-Sep: SEPT7" in note for note in raw.notes)


def test_a_date_beside_an_ensembl_id_costs_no_gene():
  ids = [f"ENSG{n:011d}" for n in range(6)]
  raw = cleaned(["1-Mar", "7-Sep", *OTHERS], ids=ids)
  assert raw.gene_ids.tolist() == ids
  assert raw.gene_symbols.tolist() == [ids[0], "SEPT7", *OTHERS]


def test_genes_of_a_mouse_are_written_as_those_of_mice():
  words = [f"{word.capitalize()}{n}" for word in OTHERS for n in range(9)]
  assert "Sept7" in cleaned(["7-Sep", *words]).gene_ids


def test_a_graft_without_prefixes_is_refused_with_genes_of_each_species():
  names = [f"ENSG{n:011d}" for n in range(30)] + [f"ENSMUSG{n:011d}" for n in range(20)]
  with pytest.raises(BadInputError, match=r"two species \(30 human and 20 mouse genes\)"):
    cleaned(names)


@pytest.mark.parametrize(
  ("values", "kind"),
  [((-1.0, -2.0), "2 negative values"), ((np.nan, np.inf), "2 values that are not numbers")],
)
def test_values_that_are_no_counts_are_told_with_their_number_and_the_first(values, kind):
  adata = annotated.adata(annotated.section())
  dense = adata.X.toarray()
  dense[5, 3], dense[80, 1] = values
  adata.X = scipy.sparse.csr_matrix(dense)
  with pytest.raises(BadInputError, match="raw integer counts") as caught:
    raw_matrix.find(contents.of_object(adata))
  assert f"{kind} in X" in caught.value.found
  assert f"first at spot {adata.obs_names[5]}, gene {adata.var['gene_ids'].iloc[3]}" in str(
    caught.value
  )


@pytest.mark.parametrize(
  "name",
  [
    "ENSG00000141510_TP53", "TP53|ENSG00000141510", "ENSG00000141510.18|TP53",
    "ENSG00000141510:TP53", "TP53 (ENSG00000141510.18)", "ENSG00000141510-TP53",
    "ENSG00000141510|TP53|1a2b3c4",
  ],
)  # fmt: skip
def test_a_name_of_id_and_symbol_is_both(name):
  raw = cleaned([name, "HLA-A", "ENSG00000000001.3_PAR_Y"])
  assert raw.gene_ids.tolist() == ["ENSG00000141510", "HLA-A", "ENSG00000000001"]
  assert raw.gene_symbols.tolist() == ["TP53", "HLA-A", "ENSG00000000001"]


def graft():
  """Names of 30 genes of a man and 30 of a mouse: ids, and symbols of the same animals."""
  human = [(f"ENSG{n:011d}", f"GENE{n}") for n in range(30)]
  return zip(*human, *((f"ENSMUSG{n:011d}", f"Gene{n}") for n in range(30)), strict=True)


@pytest.mark.parametrize("by", ["ids", "symbols", "prefixes"])
@pytest.mark.parametrize(("genome", "kept"), [("human", slice(30)), ("mouse", slice(30, None))])
def test_of_a_graft_the_genes_of_the_species_that_is_named_are_kept(by, genome, kept):
  ids, symbols = graft()
  names = {"ids": ids, "symbols": symbols}.get(by)
  if by == "prefixes":
    names = [("GRCh38_" if n < 30 else "mm10___") + s.upper() for n, s in enumerate(symbols)]
  with pytest.raises(BadInputError, match="--genome="):
    cleaned(names)
  raw = cleaned(names, genome=genome)
  assert len(raw.gene_ids) == 30
  assert raw.dropped == {f"genes of other genomes than {genome}": 30}
  if by == "prefixes":
    same = cleaned(names, genome={"human": "GRCh38", "mouse": "mm10"}[genome])
    assert raw.gene_ids.tolist() == same.gene_ids.tolist()
  else:
    assert raw.gene_ids.tolist() == list(names[kept])
  with pytest.raises(BadInputError, match="none of rat"):
    cleaned(names, genome="rat")


def test_fractions_that_a_correction_left_are_rounded_where_that_is_asked_for():
  counts = np.array([[30.0, 0.6, 0.4, 2.5], [7.0, 1.4, 0.0, 3.0]])
  with pytest.raises(BadInputError, match="--round_counts rounds them"):
    cleaned(OTHERS, counts)
  raw = cleaned(OTHERS, counts, round_counts=True)
  np.testing.assert_array_equal(raw.counts.toarray(), [[30, 1, 0, 2], [7, 1, 0, 3]])
  assert any("4 of 7 counts had fractions" in note for note in raw.notes)
  with pytest.raises(BadInputError, match="log-normalised"):
    cleaned(OTHERS, np.log1p(counts), round_counts=True)


def test_an_annotated_matrix_is_rounded_and_kept_to_a_genome_likewise():
  adata = annotated.adata(annotated.section())
  counts = adata.X.toarray() * 2.0 + 20 * (adata.X.toarray() > 0)
  soup = np.random.default_rng(0).uniform(0.1, 0.9, counts.shape)
  adata.X = scipy.sparse.csr_matrix(np.maximum(counts - soup, 0))
  found = contents.of_object(adata)
  with pytest.raises(BadInputError, match="--round_counts"):
    raw_matrix.find(found)
  matrix = raw_matrix.find(found, rounded=True)
  assert (matrix.where, matrix.rounded) == ("X", True)
  rows = np.arange(3)
  np.testing.assert_array_equal(matrix.rows(rows).toarray(), np.rint(adata.X[rows].toarray()))
  with pytest.raises(BadInputError, match="none of mouse"):
    raw_matrix.find(found, rounded=True, genome="mouse")


def shallow(rng, spots=60, genes=80):
  """Counts of which hardly one is above 5."""
  return rng.poisson(rng.gamma(2.0, 0.3, genes), (spots, genes)).astype(float)


@pytest.mark.parametrize(
  ("name", "change"),
  [
    ("log1p", lambda counts: np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)),
    ("log2", lambda counts: np.log2(1 + counts / counts.sum(1, keepdims=True) * 1e6)),
    ("log10", lambda counts: np.log10(1 + counts / counts.sum(1, keepdims=True) * 1e6)),
    ("arcsinh", np.arcsinh),
    ("scaled to a depth", lambda counts: counts / counts.sum(1, keepdims=True) * 37),
    ("root", np.sqrt),
    ("root of deep counts", lambda counts: np.sqrt(400 * counts)),
  ],
)
def test_scaled_counts_and_logarithms_and_roots_of_them_are_never_rounded(name, change):
  counts = change(shallow(np.random.default_rng(0)))
  with pytest.raises(BadInputError, match="log-normalised"):
    cleaned([f"GENE{n}" for n in range(80)], counts, round_counts=True)


def test_a_logarithm_of_corrected_counts_is_told_by_how_small_it_is_for_so_many_genes():
  rng = np.random.default_rng(0)
  counts = rng.poisson(rng.gamma(0.5, 6.0, 800), (60, 800)).astype(float)
  soup = np.where(counts > 0, counts - rng.uniform(0.02, 0.3, counts.shape), 0)
  genes = [f"GENE{n}" for n in range(800)]
  np.testing.assert_array_equal(
    cleaned(genes, soup, round_counts=True).counts.toarray(), np.rint(soup)
  )
  with pytest.raises(BadInputError, match="log-normalised"):
    cleaned(genes, np.log1p(soup / soup.sum(1, keepdims=True) * 1e4), round_counts=True)


def test_what_a_correction_left_of_shallow_counts_is_no_logarithm(tmp_path):
  rng = np.random.default_rng(0)
  counts = shallow(rng, *annotated.adata(annotated.section()).shape)
  soup = np.where(counts > 0, counts - rng.uniform(0.02, 0.3, counts.shape), 0)
  adata = annotated.adata(annotated.section())
  adata.X = scipy.sparse.csr_matrix(soup)
  adata.write_h5ad(tmp_path / "S.h5ad")
  with pytest.raises(BadInputError, match="not whole.*--round_counts"):
    readers.read_sections(tmp_path)
  (read,) = readers.read_sections(tmp_path, words=readers.Words(round_counts=True))
  np.testing.assert_array_equal(read.counts.toarray(), np.rint(soup))
  assert any("had fractions and are rounded" in note for note in read.notes)


def test_names_in_an_annotated_file_are_mended_and_kept_to_a_genome_once(tmp_path):
  adata = annotated.adata(annotated.section())
  names = [f"{'GRCh38_' if n % 2 else 'mm10___'}GENE{n}" for n in range(adata.n_vars)]
  names[1] = "GRCh38_7-Sep"
  adata.var = adata.var[[]].set_axis(names)
  adata.write_h5ad(tmp_path / "S.h5ad")
  for genome in ("GRCh38", "human"):
    (read,) = readers.read_sections(tmp_path, words=readers.Words(genome=genome))
    assert read.gene_ids.tolist()[:2] == ["SEPT7", "GENE3"]
    assert any("7-Sep: SEPT7" in note for note in read.notes)
