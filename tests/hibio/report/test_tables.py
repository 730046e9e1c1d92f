"""Rows as tables: what is bold, what is noted, what Markdown shows."""

import re

import pytest

from hibio.report import markdown
from hibio.report.tables import number, task_tables
from tests.hibio.report.conftest import row


def cells(rows):
  (table,) = task_tables(rows)
  ((line,),) = (block.lines for block in table.blocks)
  return {
    column.method: cell for column, cell in zip(table.columns, line.cells, strict=True)
  }, table


def test_bold_is_the_best_of_those_that_see_the_same():
  found, _ = cells([
    row("t", "hibio/image", 0.5), row("t", "colour/image", 0.4), row("t", "hibio/gene", 0.7),
    row("t", "pca/gene", 0.9),
  ])  # fmt: skip
  assert {method for method, cell in found.items() if cell.best} == {"hibio/image", "pca/gene"}


def test_of_an_error_the_least_is_bold():
  found, _ = cells([
    row("t", "hibio/image", 0.5, metric="mse"), row("t", "colour/image", 0.4, metric="mse"),
  ])  # fmt: skip
  assert [method for method, cell in found.items() if cell.best] == ["colour/image"]


def test_controls_and_published_figures_do_not_compete():
  found, table = cells([
    row("t", "hibio/gene", 0.5), row("t", "pca/gene", 0.4), row("t", "oracle/gene", 1.0),
    row("t", "published/gene", 0.9), row("t", "STAGATE/gene", 0.8, note="published, not rerun"),
  ])  # fmt: skip
  assert [method for method, cell in found.items() if cell.best] == ["hibio/gene"]
  assert [c.role for c in table.columns] == [
    "model", "baseline", "control", "published", "published"
  ]  # fmt: skip


def test_columns_stand_by_what_they_see():
  _, table = cells([
    row("t", "pca/gene", 0.4), row("t", "colour/image", 0.4), row("t", "hibio/gene", 0.5),
    row("t", "hibio/image", 0.5),
  ])  # fmt: skip
  assert table.column_groups == [("image", 2), ("gene", 2)]
  assert [c.method for c in table.columns] == [
    "hibio/image", "colour/image", "hibio/gene", "pca/gene"
  ]  # fmt: skip


def test_a_note_of_all_methods_stands_once_at_the_metric():
  rows = [row("t", m, 0.5, note="50 genes") for m in ("hibio", "untrained")]
  (table,) = task_tables(rows)
  line = table.blocks[0].lines[0]
  assert table.footnotes == ("50 genes",)
  assert line.notes == (1,)
  assert [cell.notes for cell in line.cells] == [(), ()]


def test_chance_is_a_range_where_methods_have_different_ones():
  rows = [row("t", "hibio", 0.5, chance=0.1), row("t", "untrained", 0.5, chance=0.2)]
  assert task_tables(rows)[0].blocks[0].lines[0].chance == "0.100 to 0.200"


@pytest.mark.parametrize(
  ("value", "text"),
  [(0.12345, "0.123"), (-0.0001, "0.000"), (12.345, "12.35"), (1234.5, "1,234.5"),
   (None, "n/a"), (float("nan"), "n/a")],
)  # fmt: skip
def test_numbers_are_as_long_as_they_need_to_be(value, text):
  assert number(value) == text


def test_markdown_holds_every_value_its_spread_and_its_reason(rows):
  text = markdown.markdown(rows, leaks=("donor D4 was trained on",))
  assert text.startswith("**LEAK: donor D4 was trained on**")
  assert "0.612 ± 0.012" in text
  assert re.search(r"n/a \[\d+\]", text)
  assert "] no section measures these genes" in text
  for figure in ("0.223", "0.335", "0.990"):
    assert figure in text


def test_markdown_lines_have_as_many_cells_as_their_header():
  rows = [row("t", "a|b", 0.5), row("t", "hibio", 0.4), row("u", "hibio", 0.2, protocol="p|q")]
  cells = None
  for line in markdown.markdown(rows).splitlines():
    if not line.startswith("|"):
      cells = None
      continue
    found = len(re.findall(r"(?<!\\)\|", line))
    assert cells in (None, found), line
    cells = found


@pytest.mark.parametrize(
  ("metric", "chance", "contest"),
  [("ari", 0.0, True), ("smallest", None, False), ("pca/gene", 0.1, False)],
)
def test_figures_that_nobody_can_win_have_no_best(metric, chance, contest):
  values = {"hibio/gene": 0.5, "pca/gene": 0.4}
  rows = [row("t", m, v, metric=metric, chance=chance) for m, v in values.items()]
  (line,) = task_tables(rows)[0].blocks[0].lines
  assert any(cell.best for cell in line.cells) == contest


def test_what_reads_the_same_is_bold_together_and_fewer_single_molecules_win():
  rows = [row("t", f"{name}/gene", value, metric="single_count_share") for name, value in
          (("hibio", 0.0001), ("pca", 0.0), ("depth_of", 0.2))]  # fmt: skip
  (line,) = task_tables(rows)[0].blocks[0].lines
  assert [cell.best for cell in line.cells] == [True, True, False]
