"""Genes that a model has never seen: what is made of them, and what stays as it was."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse

from data_pipelines.section import of_section
from hibio.export.new_genes import made_known
from hibio.export.reader import Reader
from tests.data_pipelines import annotated

OLD = 40


def with_twins(section, twins=10):
  """The section with genes of which each copies one that the model knows, of program 1 or 2."""
  copied = np.r_[0 : twins // 2, 10 : 10 + twins // 2]
  counts = scipy.sparse.hstack([section.counts, section.counts[:, copied]], format="csr")
  ids = np.r_[section.gene_ids, [f"ENSG9{n:010d}" for n in range(twins)]]
  symbols = np.r_[section.gene_symbols, [f"TWIN{n}" for n in range(twins)]]
  return dataclasses.replace(section, counts=counts, gene_ids=ids, gene_symbols=symbols), copied


@pytest.fixture(scope="module")
def section():
  return annotated.section()


def test_a_new_gene_is_made_of_the_genes_it_is_expressed_with(model, section):
  reader = Reader.of(model.checkpoint)
  longer, copied = with_twins(section)
  known = made_known(reader, [of_section(longer)])
  assert known.panel.ids[:OLD] == reader.panel.ids
  table, old = (np.asarray(r.params["gene_table"]["embedding"]) for r in (known, reader))
  np.testing.assert_array_equal(table[:OLD], old)
  counts = longer.counts.toarray()
  logs = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
  z = (logs - logs.mean(axis=0)) / np.maximum(logs.std(axis=0), 0.1)
  correlation = np.corrcoef(z.T)[OLD:, :OLD]
  assert correlation.argmax(axis=1).tolist() == copied.tolist()
  row = {symbol: number for number, symbol in enumerate(known.panel.symbols)}
  for number, own in enumerate(correlation):
    best = own.argsort()[::-1][:10]
    want = own[best] @ old[best] / own[best].sum()
    place = row[f"TWIN{number}"]
    np.testing.assert_allclose(table[place], want, atol=1e-4)
    assert known.tables.document_share[place] == pytest.approx(
      ((counts[:, OLD + number] > 0).sum() + 1) / (section.num_spots + 2)
    )


def test_nothing_changes_where_all_genes_are_known(model, section):
  reader = Reader.of(model.checkpoint)
  assert made_known(reader, [of_section(section)]) is reader


def test_new_genes_are_read_if_asked_for_and_their_share_is_told_if_not(model, section, capsys):
  longer, _ = with_twins(section)
  adata = annotated.adata(longer)
  without = model.embed(adata, copy=True, domain_um=())
  told = capsys.readouterr().err
  share = section.counts.sum() / longer.counts.sum()
  assert without.uns["hibio"]["sections"]["counts_on_panel"].iloc[0] == pytest.approx(share)
  assert f"{1 - share:.0%} of the counts are of other genes" in told
  assert "--new_genes" in told
  both = model.embed(adata, copy=True, domain_um=(), new_genes=True)
  assert both.uns["hibio"]["sections"]["panel_genes_found"].iloc[0] == OLD + 10
  assert both.uns["hibio"]["settings"]["new_genes"]
  assert (both.obsm["X_hibio_gene"] != without.obsm["X_hibio_gene"]).any()
  capsys.readouterr()
  model.embed(
    annotated.adata(section, image=annotated.picture(section)), layer="none", domain_um=()
  )
  assert "--new_genes" not in capsys.readouterr().err
  bare = model.embed(annotated.adata(section), domain_um=(), new_genes=True)
  np.testing.assert_array_equal(bare.obsm["X_hibio_gene"], without.obsm["X_hibio_gene"])
