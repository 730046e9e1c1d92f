"""Cutting a section into windows of neighbouring spots, the unit that is stored and shuffled."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def contiguous_windows(
  positions_um: Float[np.ndarray, "spot 2"], window_spots: int
) -> Int[np.ndarray, " spot"]:
  """The window of each spot: compact pieces of nearly equal size, at most `window_spots` each.

  The section is halved along its longer side until the pieces are small enough; pieces differ by
  at most one spot where the numbers allow, so that little padding is needed.
  """
  window = np.zeros(len(positions_um), np.int32)
  pieces = [(np.arange(len(positions_um)), -(-len(positions_um) // window_spots))]
  done = 0
  while pieces:
    spots, parts = pieces.pop()
    if parts <= 1:
      window[spots] = done
      done += 1
      continue
    longer = int(np.argmax(np.ptp(positions_um[spots], axis=0)))
    # The other axis and the spot's number break ties, so that the cut does not depend on the sort.
    order = np.lexsort((spots, positions_um[spots, 1 - longer], positions_um[spots, longer]))
    first = parts // 2
    cut = round(len(spots) * first / parts)
    # Pieces are taken from the end: the second half goes in first.
    pieces.append((np.sort(spots[order[cut:]]), parts - first))
    pieces.append((np.sort(spots[order[:cut]]), first))
  return window
