"""What a matrix of counts is checked for, whatever file it came from."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from data_pipelines.problems import BadInputError
from data_pipelines.readers.annotated import contents, raw_matrix
from data_pipelines.readers.raw_counts import RawCounts
from tests.data_pipelines import annotated

OTHERS = ["EPCAM", "KRT8", "CD3E", "ACTB"]


def cleaned(names, counts=None, ids=None):
  counts = np.ones((2, len(names)), np.int32) if counts is None else np.array(counts)
  names = np.array(names)
  ids = names if ids is None else np.array(ids)
  kinds = np.full(len(names), "")
  return RawCounts(
    Path("f"), scipy.sparse.csr_matrix(counts), np.array(["s1", "s2"]), ids, names, kinds
  ).cleaned()


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
