"""Gene names that a spreadsheet turned into dates: read back where one gene became the date."""

import pytest

from data_pipelines.spreadsheet_names import restored


@pytest.mark.parametrize(
  "date", ["7-Sep", "07-Sep", "Sep-07", "7-Sep-23", "2023-09-07", "2023-09-07 00:00:00", "Sept-7"]
)
def test_a_date_of_one_gene_is_that_gene_again(date):
  assert restored([date, "EPCAM"]) == {date: "SEPT7"}


def test_a_date_of_several_genes_is_none_of_them():
  # MARCH1 and MARC1 look alike, the 3rd of September like the 9th of March; no gene is of June.
  names = ["1-Mar", "9/3/2023", "4-Jun", "3-Mar"]
  assert restored(names) == {"1-Mar": "", "9/3/2023": "", "4-Jun": "", "3-Mar": "MARCH3"}


def test_two_columns_of_one_date_are_none_of_its_genes():
  assert restored(["7-Sep", "7-Sep.1"]) == {"7-Sep": "", "7-Sep.1": ""}
  assert restored(["7-Sep", "2023-09-07", "DEC1"]) == {"7-Sep": "", "2023-09-07": ""}


def test_names_of_genes_are_no_dates():
  names = [
    "HLA-A",
    "NKX2-1",
    "MT-1",
    "H2-Ab1",
    "SEPT7",
    "MARCH1",
    "RP11-34P13.7",
    "1-Zzz",
    "32-Sep",
  ]
  assert restored(names) == {}
