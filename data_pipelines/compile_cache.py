"""What JAX has compiled once is kept on disk, for every command and every run after it.

A first step takes 20 to 60 s to compile on a processor, reading it back about a tenth of that.
Several processes can share the folder, and an entry that cannot be read is compiled again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import sys
from pathlib import Path

_FOLDER = "JAX_COMPILATION_CACHE_DIR"
_SHORTEST = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
_SHORTEST_S = 0.1
"""What compiles faster is not worth a file."""

_MOST_BYTES = 2 * 2**30
"""Of the user's cache folder; the demo leaves 3 MB there."""


def switch_on() -> None:
  """Keeps what is compiled under the user's cache folder, unless the environment says where.

  There, what has not been read for longest makes room. JAX_COMPILATION_CACHE_DIR names another
  folder, of which nothing is deleted; empty, it switches the cache off. Processes that this one
  starts do the same.
  """
  if _FOLDER not in os.environ:
    _make_room(default_folder(), _MOST_BYTES)
  folder = os.environ.setdefault(_FOLDER, str(default_folder()))
  shortest = os.environ.setdefault(_SHORTEST, str(_SHORTEST_S))
  if jax := sys.modules.get("jax"):  # it read the environment when it was imported
    jax.config.update("jax_compilation_cache_dir", folder or None)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", float(shortest))


def default_folder() -> Path:
  """One for each kind of processor: a home folder may be shared by machines that differ."""
  caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
  return caches / "hibio" / f"compiled-{_processor()}"


def _make_room(folder: Path, most: int) -> None:
  """Deletes what was read longest ago until the rest has no more bytes; others may do the same."""
  with contextlib.suppress(OSError):  # one that another process deletes
    entries = sorted(
      (path.stat().st_atime, path.stat().st_size, path) for path in folder.glob("*-cache")
    )
    size = sum(size for _, size, _ in entries)
    for _, of_entry, path in entries:
      if size <= most:
        return
      path.unlink(missing_ok=True)
      size -= of_entry


def _processor() -> str:
  """What tells processors apart whose instructions differ."""
  try:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
  except OSError:
    lines = []
  features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
  return hashlib.sha256(f"{platform.machine()} {features}".encode()).hexdigest()[:8]
