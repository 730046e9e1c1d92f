"""The order of windows: everything once an epoch, a fixed mix of sections in a batch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.loading.order import MixedOrder, Order, epoch_order

EVEN = np.repeat(np.arange(10), 16)
UNEVEN = np.repeat(np.arange(7), [3, 40, 11, 1, 25, 18, 9])


def order_of(section, epoch=0, seed=0, windows=8, sections=4):
  return epoch_order(
    section, windows_per_batch=windows, sections_per_batch=sections, seed=seed, epoch=epoch
  )


@pytest.mark.parametrize("section", [EVEN, UNEVEN, np.zeros(5, int)], ids=["even", "uneven", "one"])
@pytest.mark.parametrize(("windows", "sections"), [(8, 4), (6, 4), (4, 16), (1, 1), (64, 2)])
def test_every_window_appears_once_an_epoch(section, windows, sections):
  for epoch in range(3):
    order = order_of(section, epoch, 0, windows, sections)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(section)))


def test_a_batch_draws_from_the_sections_asked_for():
  for epoch in range(5):
    batches = EVEN[order_of(EVEN, epoch)].reshape(-1, 8)
    numbers = [len(set(batch)) for batch in batches]
    assert set(numbers[:15]) == {4}
    assert all(np.bincount(batch).max() == 2 for batch in batches[:14])


def test_sections_of_all_sizes_are_spread_over_the_epoch():
  section = np.repeat(np.arange(6), [10, 20, 30, 40, 50, 60])
  orders = [section[order_of(section, epoch, sections=2)] for epoch in range(20)]
  middle = [np.mean([np.flatnonzero(o == s).mean() / 210 for o in orders]) for s in range(6)]
  # Sections drawn evenly would have the smallest one used up early: its middle would be at 0.18.
  np.testing.assert_allclose(middle, 0.5, atol=0.1)
  numbers = [len(set(order[start : start + 8])) for order in orders for start in range(0, 160, 8)]
  assert np.mean(np.array(numbers) == 2) > 0.9


def test_another_epoch_or_seed_is_another_order_and_the_same_is_the_same():
  first = order_of(EVEN)
  np.testing.assert_array_equal(first, order_of(EVEN))
  assert not np.array_equal(first, order_of(EVEN, epoch=1))
  assert not np.array_equal(first, order_of(EVEN, seed=1))


def test_batches_run_on_over_the_end_of_an_epoch():
  order = Order(UNEVEN, windows_per_batch=8, sections_per_batch=4, seed=3)
  seen = np.concatenate([order.batch(step) for step in range(3 * 107 // 8)])
  for epoch in range(2):
    part = seen[epoch * 107 : (epoch + 1) * 107]
    np.testing.assert_array_equal(np.sort(part), np.arange(107))


def test_a_step_can_be_asked_for_on_its_own():
  order = Order(UNEVEN, windows_per_batch=8, sections_per_batch=4, seed=3)
  in_sequence = [order.batch(step) for step in range(60)]
  for step in (57, 3, 31):
    alone = Order(UNEVEN, windows_per_batch=8, sections_per_batch=4, seed=3).batch(step)
    np.testing.assert_array_equal(alone, in_sequence[step])


PAIRED = np.isin(UNEVEN, (2, 4))
"""36 of 107 windows lie in sections with images."""


def mixed(section=UNEVEN, paired=PAIRED, windows=8, share=0.75, seed=3):
  return MixedOrder(
    section, paired, windows_per_batch=windows, sections_per_batch=2, paired_share=share, seed=seed
  )


@pytest.mark.parametrize(
  ("windows", "share", "want"),
  [(8, 0.75, 6), (8, 0.0, 0), (8, 1.0, 8), (8, 0.01, 1), (8, 0.99, 7), (3, 0.5, 2), (1, 0.5, 1)],
)
def test_a_batch_holds_the_share_of_windows_with_pairs(windows, share, want):
  order = mixed(windows=windows, share=share)
  assert {int(PAIRED[order.batch(step)].sum()) for step in range(40)} == {want}
  assert len(order.batch(0)) == windows


@pytest.mark.parametrize("kind", [PAIRED, ~PAIRED], ids=["with pairs", "without"])
def test_each_kind_goes_through_its_windows_once_an_epoch_of_its_own(kind):
  order, own = mixed(), np.flatnonzero(kind)
  seen = np.concatenate([order.batch(step) for step in range(200)])
  seen = seen[np.isin(seen, own)]
  for epoch in range(len(seen) // len(own)):
    part = seen[epoch * len(own) : (epoch + 1) * len(own)]
    np.testing.assert_array_equal(np.sort(part), own)


def test_a_step_of_a_mixed_sequence_can_be_asked_for_on_its_own():
  in_sequence = [mixed().batch(step) for step in range(60)]
  for step in (57, 3, 31):
    np.testing.assert_array_equal(mixed().batch(step), in_sequence[step])


@pytest.mark.parametrize("all_have", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_where_windows_are_of_one_kind_the_share_changes_nothing(all_have, share):
  order = Order(UNEVEN, windows_per_batch=8, sections_per_batch=2, seed=3)
  same = mixed(paired=np.full(len(UNEVEN), all_have), share=share)
  for step in range(30):
    np.testing.assert_array_equal(same.batch(step), order.batch(step))


def test_both_halves_of_a_batch_hold_windows_with_pairs():
  order = mixed(share=0.5)
  halves = np.array([PAIRED[order.batch(step)].reshape(2, 4).sum(1) for step in range(20)])
  assert (halves == 2).all()


def test_a_kind_with_few_windows_is_all_there_once_and_not_twice():
  order = mixed(windows=96)  # of which 72 places are for windows with pairs, and there are 36
  for step in range(5):
    own = order.batch(step)
    assert PAIRED[own].sum() == 36
    assert len(np.unique(own)) == len(own) == 60


@settings(max_examples=60, deadline=None)
@given(
  sizes=st.lists(st.integers(1, 12), min_size=1, max_size=5),
  windows=st.integers(1, 9),
  sections=st.integers(1, 6),
  seed=st.integers(0, 99),
  starts=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4)), min_size=1, max_size=6),
)
def test_every_window_appears_once_an_epoch_whatever_the_cuts_and_the_number_of_processes(
  sizes, windows, sections, seed, starts
):
  section = np.repeat(np.arange(len(sizes)), sizes)
  taken, step = [], 0
  for steps, processes in starts:
    order = Order(
      section, windows_per_batch=windows, sections_per_batch=sections, seed=seed
    )  # anew, as a run that starts again has it
    for _ in range(steps):
      parts = np.array_split(np.arange(windows), processes)
      taken += [order.batch(step)[part] for part in parts]
      step += 1
  taken = np.concatenate(taken)
  for begin in range(0, len(taken), len(section)):
    epoch = taken[begin : begin + len(section)]
    assert len(np.unique(epoch)) == len(epoch)
    assert len(epoch) < len(section) or (np.sort(epoch) == np.arange(len(section))).all()
