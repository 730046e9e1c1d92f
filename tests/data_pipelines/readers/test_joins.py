"""Names of spots that differ by what tools put before and behind them."""

from pathlib import Path

import numpy as np
import pytest

from data_pipelines.readers.joins import match, no_overlap, twins

BARCODES = ["AAACAACGAATAGTTC", "AAACAAGTATCTCCCA", "AAACACCAATAACTGC"]


@pytest.mark.parametrize(
  "renamed",
  [
    lambda b: b,
    lambda b: f"{b}.1",
    lambda b: f"{b}-1_1",
    lambda b: f"{b}-1-0",
    lambda b: f"{b}-1-patient_A",
    lambda b: f"SAMPLE_{b}-1",
    lambda b: f"S1#{b}-1",
    lambda b: f"GSM123_S_{b}-1_2",
    lambda b: b.lower() + "-1",
  ],
)
def test_a_barcode_is_found_between_prefixes_and_suffixes(renamed):
  wanted = np.array([f"{b}-1" for b in BARCODES])
  present = np.array([renamed(b) for b in BARCODES[::-1]])
  rows, rule = match(wanted, present)
  assert rows.tolist() == [2, 1, 0]
  assert "3 of 3" in rule


def test_the_number_behind_it_tells_two_capture_areas_apart():
  wanted = np.array([f"{b}-{n}" for n in (1, 2) for b in BARCODES])
  present = np.array([f"run_{name}" for name in wanted[::-1]])
  rows, rule = match(wanted, present)
  assert rows.tolist() == [5, 4, 3, 2, 1, 0]
  assert "number" in rule


def test_barcodes_of_two_capture_areas_are_not_joined_by_guess():
  wanted = np.array([f"{b}-1" for b in BARCODES])
  present = np.array([f"{sample}_{b}" for sample in "AB" for b in BARCODES])
  assert match(wanted, present)[0].tolist() == [-1, -1, -1]


@pytest.mark.parametrize("name", ["GSM1_{}", "{}_A1"])
def test_places_of_a_legacy_array_and_bins_join_likewise(name):
  for ids in (["10x13", "9x7"], ["s_008um_00301_00321-1", "s_008um_00301_00322-1"]):
    rows, _ = match(np.array(ids), np.array([name.format(one) for one in ids[::-1]]))
    assert rows.tolist() == [1, 0]


def test_names_that_differ_by_what_stands_behind_are_of_two_slides_and_single_ones_are_not():
  places = [f"{x}x{y}" for x in range(1, 9) for y in range(1, 9)]
  assert not twins(np.array([*places, "1x1.2", "3x3.2"]))
  names = np.array([*places, *(f"{place}.1" for place in places)])
  assert len(twins(names)) == 64
  problem = no_overlap(Path("spots.tsv"), "spots", names, np.array(places))
  assert "(1x1 and 1x1.1)" in problem.found
  assert "section of its own" in problem.fix


def test_names_that_are_lacking_are_shown_and_not_those_that_are_there():
  wanted = np.array(["a", "b", "c"])
  assert "not b, c" in no_overlap(Path("spots.tsv"), "spots", wanted, np.array(["a"])).found
