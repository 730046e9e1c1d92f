"""Windows and splits: what belongs together and who is held out."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse

from data_pipelines.preparation.one_sample import Sample, content_hash, refuse_twin
from data_pipelines.preparation.splits import split_donors, split_of
from data_pipelines.preparation.windows import contiguous_windows
from data_pipelines.problems import BadInputError
from tests.data_pipelines.hand_made import lattice, section


@pytest.mark.parametrize("spots", [1, 5, 64, 65, 127, 500, 999])
def test_windows_are_as_few_as_can_be_and_equally_large(spots):
  positions = np.random.default_rng(spots).random((spots, 2)) * [3000, 1000]
  sizes = np.bincount(contiguous_windows(positions, 64))
  assert len(sizes) == -(-spots // 64)
  assert sizes.max() <= 64
  assert sizes.max() - sizes.min() <= np.log2(len(sizes)) + 1


def test_a_window_is_a_compact_piece_of_tissue():
  positions = lattice(32, 32)
  windows = contiguous_windows(positions, 64)
  for window in range(windows.max() + 1):
    # 64 spots at 100 um fill 800 um by 693 um; a strip of the section would be 3,200 um long.
    assert np.ptp(positions[windows == window], axis=0).max() <= 950


def test_windows_do_not_depend_on_ties_between_coordinates():
  positions = np.round(lattice(12, 12), -2)
  order = np.random.default_rng(0).permutation(len(positions))
  there = contiguous_windows(positions, 30)
  again = contiguous_windows(positions[order], 30)
  groups = {frozenset(map(tuple, positions[there == w])) for w in range(there.max() + 1)}
  assert groups == {
    frozenset(map(tuple, positions[order][again == w])) for w in range(again.max() + 1)
  }


@pytest.mark.parametrize(
  ("donors", "sizes"), [(1, (1, 0, 0)), (2, (1, 0, 1)), (4, (2, 1, 1)), (8, (5, 1, 2))]
)
def test_a_quarter_of_the_donors_is_held_out(donors, sizes):
  splits = split_donors([f"P{n}" for n in range(donors)])
  assert tuple(map(len, splits.values())) == sizes
  assert sorted(sum(splits.values(), [])) == [f"P{n}" for n in range(donors)]


def test_splits_do_not_depend_on_the_order_or_number_of_sections():
  assert split_donors("ABCDEFGH") == split_donors(reversed("AABCDEFFFGH"))


def test_named_donors_are_held_out_and_no_other_is_tested():
  splits = split_donors("ABCD", test=("A", "B"), validation=())
  assert splits == {"train": ["C", "D"], "validation": [], "test": ["A", "B"]}
  assert split_of(splits, "B") == "test"
  assert split_donors("ABCD", test=tuple("ABCD"))["train"] == []


def test_a_donor_that_is_not_there_is_refused_by_name():
  with pytest.raises(BadInputError, match=r"found 'Patient1', .*Fix: write Patient_1"):
    split_donors(["Patient_1", "Patient_2"], test=("Patient1",))
  with pytest.raises(BadInputError, match="A, also in --test_donors"):
    split_donors("AB", test=("A",), validation=("A",))


def test_the_same_counts_under_another_name_and_order_are_a_duplicate():
  one = section("S1", "d")
  order = np.random.default_rng(0).permutation(one.num_spots)
  two = one.subset(order, "")
  other = section("S1", "d", seed=1)
  assert content_hash(one) == content_hash(two) != content_hash(other)
  with pytest.raises(BadInputError, match=r"S2: counts: found the same .* as in section S1"):
    refuse_twin("S2", Sample.of(two), {"S1": Sample.of(one)})
  refuse_twin("S2", Sample.of(other), {"S1": Sample.of(one)})


def test_a_sample_that_was_counted_again_is_a_duplicate_though_no_number_is_the_same():
  one = section("S1", "d", rows=12)
  ids = np.array(["".join(np.random.default_rng(n).choice(list("ACGT"), 16)) for n in range(120)])
  again = scipy.sparse.csr_matrix(one.counts.toarray()[:, :-1] * 2 + one.counts.toarray()[:, 1:])
  one = dataclasses.replace(one, spot_ids=np.char.add(ids, "-1"))
  two = dataclasses.replace(
    one, counts=again, gene_ids=one.gene_ids[1:], gene_symbols=one.gene_symbols[1:],
    spot_ids=np.char.add("S2_", ids),
  ).subset(np.arange(15, 120)[::-1], "")  # fmt: skip
  with pytest.raises(BadInputError, match=r"the depths of section S1 .*over 105 spots"):
    refuse_twin("S2", Sample.of(two), {"S1": Sample.of(dataclasses.replace(one, donor_id="e"))})
  refuse_twin("S2", Sample.of(two), {"S1": Sample.of(one)})
  other = dataclasses.replace(section("S3", "d", rows=12, seed=5), spot_ids=one.spot_ids)
  refuse_twin("S3", Sample.of(other), {"S1": Sample.of(dataclasses.replace(one, donor_id="e"))})
