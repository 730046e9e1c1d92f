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


def test_a_date_beside_its_gene_is_not_that_gene():
  assert restored(["SEPT2", "2-Sep"]) == {"2-Sep": ""}
  assert restored(["Septin2", "2-Sep", "7-Sep"]) == {"2-Sep": "", "7-Sep": "SEPT7"}


@pytest.mark.parametrize(
  ("date", "gene"),
  [
    ("03. Mrz", "MARCH3"),
    ("1. Sep", "SEPT1"),
    ("01.Dez", "DEC1"),
    ("Mrz 03", "MARCH3"),
    ("X7.Sep", "SEPT7"),
    ("Sep.07", "SEPT7"),
    ("X2023.09.07", "SEPT7"),
    ("01-déc", "DEC1"),
  ],
)
def test_dates_of_other_languages_and_after_r_are_genes_again(date, gene):
  assert restored([date, "EPCAM"]) == {date: gene}


def test_a_number_among_names_is_the_day_that_it_numbers():
  words = [f"GENE{n}" for n in range(50)]
  assert restored(["44446", *words]) == {"44446": "SEPT7"}  # 7 September 2021
  assert restored(["44621", "44300", *words]) == {"44621": ""}  # 1 March 2022, 14 April 2021


def test_numbers_of_genes_are_no_days():
  assert restored([str(44446 + n) for n in range(50)]) == {}
  assert restored(["NOV.1", "SET.1", "set-1", "AC01234.1"]) == {}
