"""A last line before JAX aborts: it ends a process whose neighbours are gone from a thread in C++.

Nothing that Python offers runs then, neither handlers nor `atexit`.
"""

from __future__ import annotations

import ctypes
import os
import signal

_kept: list = []
"""What C calls must not be collected."""


def explained(message: str, code: int) -> None:
  """From here on an abort ends with this line on stderr, and with this exit status."""

  def handle(_: int) -> None:
    os.write(2, f"{message}\n".encode())
    os._exit(code)

  handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(handle)
  _kept.append(handler)
  ctypes.CDLL(None).signal(signal.SIGABRT, handler)
