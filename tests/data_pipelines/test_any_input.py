"""Files with anything in them: what comes back is right, or one line says what is wrong.

`HIBIO_INPUTS=5000 pytest tests/data_pipelines/test_any_input.py` tries more of them.
"""

import collections
import gzip
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from data_pipelines import readers, text_files
from data_pipelines.gene_names import GeneNames
from data_pipelines.gene_sets import membership, read_gmt
from data_pipelines.genes import GenePanel
from data_pipelines.problems import BadInputError
from data_pipelines.section import Section
from data_pipelines.spreadsheet_names import restored
from tests.data_pipelines import raw_folders

TRIED = collections.Counter()
INPUTS = int(os.environ.get("HIBIO_INPUTS", 120))


def inputs(number=INPUTS):
  return settings(
    max_examples=number,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
  )


@pytest.fixture(scope="module", autouse=True)
def told(request):
  """Says how many inputs were tried, of which kind."""
  yield
  kinds = ", ".join(f"{number:,} {kind}" for kind, number in sorted(TRIED.items()))
  with request.config.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
    print(f"\n{TRIED.total():,} inputs tried: {kinds}")


def tried(kind, read, *arguments):
  """What reading gives; None where it is refused in one line."""
  TRIED[kind] += 1
  try:
    return read(*arguments)
  except BadInputError as problem:
    refused = problem
  assert "\n" not in str(refused)
  assert refused.fix
  return None


CELLS = st.text(st.sampled_from("aB1.-/|,;\"'= \x00\u00e9\u4e2d\ufeff"), max_size=6)
"""With what tables are quoted and cut by, and what no table should hold."""


def tables(separator):
  row = st.lists(CELLS, min_size=1, max_size=4).map(separator.join)
  ends = st.sampled_from(["\n", "\r\n", "\n\n", "\r"])
  return st.lists(st.tuples(row, ends), max_size=6).map(
    lambda lines: "".join(line + end for line, end in lines)
  )


ANY_TABLE = st.sampled_from("\t,;").flatmap(tables)


def written(path, content, packed=False):
  content = content if isinstance(content, bytes) else content.encode()
  path.write_bytes(gzip.compress(content) if packed else content)
  return path


@inputs()
@given(text=tables("\t"), packed=st.booleans())
def test_any_gene_sets_are_sets_of_named_genes_or_refused(tmp_path_factory, text, packed):
  folder = tmp_path_factory.getbasetemp()
  sets = tried("GMT files", read_gmt, written(folder / "any.gmt", text, packed))
  for name, genes in (sets or {}).items():
    assert name.strip()
    assert len(set(genes)) == len(genes)
    assert all("\t" not in gene and "\n" not in gene for gene in genes)


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\t\r\n,\x00"), min_size=1).filter(
  lambda name: name.strip() == name and not name.startswith("\ufeff") and name.isprintable()
)


@inputs()
@given(sets=st.dictionaries(NAMES, st.lists(NAMES, min_size=1, unique=True), min_size=1))
def test_gene_sets_come_back_as_they_were_written(tmp_path_factory, sets):
  lines = ("\t".join([name, "", *genes]) for name, genes in sets.items())
  path = written(tmp_path_factory.getbasetemp() / "sets.gmt", "\n".join(lines))
  found = tried("GMT files", read_gmt, path)
  assert found == {name: tuple(genes) for name, genes in sets.items()}
  panel = GenePanel(*[tuple(dict.fromkeys(g for genes in sets.values() for g in genes))] * 2)
  names, members, _ = membership(found, panel, min_genes=1, max_genes=len(panel), max_jaccard=1.0)
  for name, row in zip(names, members, strict=True):
    assert {panel.ids[gene] for gene in np.flatnonzero(row)} == set(sets[name])


@inputs()
@given(text=ANY_TABLE, packed=st.booleans())
@example(text="\n\t\n", packed=False)
def test_any_table_is_rows_of_named_columns_or_refused(tmp_path_factory, text, packed):
  path = written(tmp_path_factory.getbasetemp() / "any.tsv", text, packed)
  table = tried("tables", text_files.read_table, path)
  if table is not None and len(table):
    assert table.columns.is_unique
    assert all(isinstance(cell, str) for cell in table.to_numpy().ravel())
    numbers = tried("tables", text_files.read_numbers, table, [table.columns[0]], path)
    assert numbers is None or np.isfinite(numbers.to_numpy()).all()


@inputs()
@given(
  header=st.sampled_from(["ensembl_id\tsymbol", "alias\tsymbol", "gene\tortholog", "id\tsymbol"]),
  text=tables("\t"),
)
def test_any_table_of_gene_names_or_panel_is_read_or_refused(tmp_path_factory, header, text):
  path = written(tmp_path_factory.getbasetemp() / "names.tsv", f"{header}\n{text}")
  names = tried("tables of genes", GeneNames.read, path)
  if names is not None:
    genes = ["a", "B1", "a/B", "", "ENSG00000000001"]
    ids, symbols = names.translated(genes, genes)
    assert len(ids) == len(symbols) == len(genes)
  panel = tried("tables of genes", GenePanel.load, path)
  assert panel is None or len(set(panel.ids)) == len(panel)


@inputs()
@given(names=st.lists(st.text(max_size=12), max_size=8))
def test_any_names_of_genes_are_dates_or_are_none(names):
  TRIED["names of genes"] += 1
  assert set(restored(names)) <= set(names)


DAMAGE = st.tuples(
  st.sampled_from(["cut", "byte", "line", "swap"]), st.floats(0, 1), st.integers(0, 255)
)


def damaged(content, damage):
  """A file with one thing wrong with it."""
  kind, share, value = damage
  place = int(share * max(len(content) - 1, 0))
  if kind == "cut":
    return content[:place]
  if kind == "byte":
    return content[:place] + bytes([value]) + content[place + 1 :]
  lines = content.split(b"\n")
  line = int(share * max(len(lines) - 1, 0))
  if kind == "line":
    return b"\n".join(lines[:line] + lines[line + 1 :])
  return b"\n".join([*lines[:line], lines[line][::-1], *lines[line + 1 :]])


def sections_of(folder):
  return [source.read() for source in readers.open_sections(folder)]


def check(section):
  assert isinstance(section, Section)
  assert section.num_spots
  assert np.isfinite(section.positions_um).all()
  assert len(set(section.spot_ids.tolist())) == section.num_spots
  assert (section.counts.data > 0).all()


@pytest.mark.parametrize(
  "file", ["spatial/tissue_positions.csv", "spatial/scalefactors_json.json", "matrix"]
)
def test_a_damaged_visium_folder_is_read_or_refused(tmp_path, file):
  sample = raw_folders.visium(tmp_path / "S", side=4, genes=6)
  if file == "matrix":
    (sample.folder / "filtered_feature_bc_matrix.h5").unlink(missing_ok=True)
    sample.write_matrix_market()
    paths = sorted(sample.folder.glob("*_bc_matrix/*"))
  else:
    paths = [sample.folder / file]
  whole = [path.read_bytes() for path in paths]

  @inputs(max(INPUTS // 6, 1))
  @given(number=st.integers(0, len(paths) - 1), damage=DAMAGE)
  def read(number, damage):
    packed = whole[number].startswith(b"\x1f\x8b")
    plain = gzip.decompress(whole[number]) if packed else whole[number]
    written(paths[number], damaged(plain, damage), packed)
    for section in tried("Visium folders", sections_of, tmp_path) or ():
      check(section)
    paths[number].write_bytes(whole[number])

  read()


@pytest.mark.parametrize("file", ["counts", "spots"])
def test_a_damaged_legacy_folder_is_read_or_refused(tmp_path, file):
  raw_folders.legacy_st(tmp_path, ("A1",), side=4, genes=5)
  (path,) = (tmp_path / file).iterdir()
  whole = path.read_bytes()
  plain = gzip.decompress(whole) if whole.startswith(b"\x1f\x8b") else whole

  @inputs(max(INPUTS // 6, 1))
  @given(damage=DAMAGE)
  def read(damage):
    written(path, damaged(plain, damage), plain is not whole)
    for section in tried("legacy folders", sections_of, tmp_path) or ():
      check(section)

  read()
