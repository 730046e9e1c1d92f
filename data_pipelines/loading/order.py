"""The order in which windows are seen: a pure function of the seed and the position."""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Bool, Int


def epoch_order(
  section: Int[np.ndarray, " window"],
  *,
  windows_per_batch: int,
  sections_per_batch: int,
  seed: int,
  epoch: int,
) -> Int[np.ndarray, " window"]:
  """Every window once, so arranged that each batch draws from a fixed number of sections.

  All of one section in a batch would put neighbours among the negatives; all of different sections
  would let stain and batch give the pairs away. Larger sections are drawn more often, so that all
  run out together; only the last batches of an epoch may hold other numbers of sections.

  Args:
    section: section of each window.
    windows_per_batch: windows of a batch.
    sections_per_batch: sections of a batch; all of them where there are fewer.
  """
  rng = np.random.default_rng([seed, epoch])
  names, index = np.unique(section, return_inverse=True)
  queues = [rng.permutation(np.flatnonzero(index == number)) for number in range(len(names))]
  left = np.array([len(queue) for queue in queues])
  share = min(sections_per_batch, len(names), windows_per_batch)
  out = []
  while left.sum():
    # Gumbel keys draw without replacement in proportion to what is left.
    with np.errstate(divide="ignore"):
      keys = np.log(left) + rng.gumbel(size=len(left))
    drawn = np.argsort(-keys)[:share]
    quota = np.full(share, windows_per_batch // share)
    quota[: windows_per_batch % share] += 1
    take = np.minimum(quota, left[drawn])
    missing = windows_per_batch - take.sum()
    # What a section lacks comes first from the others that were drawn, then from the rest.
    for place in np.argsort(-(left[drawn] - take), kind="stable"):
      more = min(missing, left[drawn[place]] - take[place])
      take[place] += more
      missing -= more
    picked = list(zip(drawn, take, strict=True))
    for number in np.argsort(-keys)[share:]:
      more = min(missing, left[number])
      picked.append((number, more))
      missing -= more
    for number, amount in picked:
      stop = left[number]
      out.append(queues[number][stop - amount : stop])
      left[number] -= amount
  return np.concatenate(out)


class Order:
  """The endless sequence of windows, epoch after epoch; `order.batch(step)` reads any place of it.

  The sequence runs on over the end of an epoch in the middle of a batch, so no window is left out
  or padded.
  """

  def __init__(
    self,
    section: Int[np.ndarray, " window"],
    *,
    windows_per_batch: int,
    sections_per_batch: int,
    seed: int,
  ):
    self._windows = len(section)
    self._windows_per_batch = windows_per_batch
    draw = functools.partial(
      epoch_order,
      section,
      windows_per_batch=windows_per_batch,
      sections_per_batch=sections_per_batch,
      seed=seed,
    )
    self._epoch = functools.lru_cache(maxsize=4)(lambda epoch: draw(epoch=epoch))

  def batch(self, step: int) -> Int[np.ndarray, " window"]:
    """Windows of one step's batch."""
    positions = step * self._windows_per_batch + np.arange(self._windows_per_batch)
    epochs, places = np.divmod(positions, self._windows)
    return np.array(
      [self._epoch(int(epoch))[place] for epoch, place in zip(epochs, places, strict=True)]
    )


class MixedOrder:
  """Two endless sequences, of windows with pairs and of windows without, side by side in batches.

  Each goes through its own windows once an epoch, at its own pace, so that images in few sections
  of many do not leave batches with hardly a pair. Where all windows are of one kind there is one
  sequence, whatever the share. A batch has no more windows of a kind than there are.
  """

  def __init__(
    self,
    section: Int[np.ndarray, " window"],
    paired: Bool[np.ndarray, " window"],
    *,
    windows_per_batch: int,
    sections_per_batch: int,
    paired_share: float,
    seed: int,
  ):
    """Takes the section of each window, and whether it has pairs.

    Args:
      sections_per_batch: that each of the two sequences draws its part of a batch from.
      paired_share: of a batch that has pairs, from 0 to 1; in between, a batch has windows of both
        kinds if there is room for two.
    """
    share = paired_share if paired.any() and not paired.all() else float(paired.all())
    with_pairs = round(share * windows_per_batch)
    if 0 < share < 1:
      with_pairs = min(max(with_pairs, 1), max(windows_per_batch - 1, 1))
    numbers = tuple(
      min(number, int(kind.sum()))
      for number, kind in zip(
        (with_pairs, windows_per_batch - with_pairs), (paired, ~paired), strict=True
      )
    )
    self._parts = [
      (
        np.flatnonzero(kind),
        Order(
          section[kind],
          windows_per_batch=number,
          sections_per_batch=sections_per_batch,
          seed=seed,
        ),
      )
      for kind, number in zip((paired, ~paired), numbers, strict=True)
      if number
    ]
    # Dealt out evenly, as devices and processes each take a stretch of the batch.
    places = [(np.arange(number) + 0.5) / max(number, 1) for number in numbers]
    self._deal = np.argsort(np.concatenate(places), kind="stable")

  def batch(self, step: int) -> Int[np.ndarray, " window"]:
    """Windows of one step's batch."""
    parts = [windows[order.batch(step)] for windows, order in self._parts]
    return np.concatenate(parts)[self._deal]
