"""Memory that a command has used is kept for the next use, where Linux would take it back.

A compiled step asks for its hundreds of megabytes anew each time. Left to itself the C library
returns them to the system, which empties them page by page before it lends them again: a third of
a step on a processor.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Of `mallopt`, in glibc's malloc.h."""

_MOST = 2**30
"""Bytes of one piece, and of what is free at the end, above which they are given back."""


def keep() -> None:
  """From now on, in this process; before threads that ask for memory, which is then of one heap.

  Without glibc nothing happens.
  """
  mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
  if mallopt:
    mallopt(_ARENA_MAX, 1)  # other heaps than the first hold no large piece
    mallopt(_MMAP_THRESHOLD, _MOST)
    mallopt(_TRIM_THRESHOLD, _MOST)
