"""The flags by which the processes of one run find each other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from data_pipelines import entry
from hibio.training import hosts


def flags(own: entry.Flags) -> Callable[[], contextlib.AbstractContextManager[None]]:
  """Adds them to a command's; gives what its work is done in, see `hosts.joined`."""
  coordinator = own.string(
    "coordinator",
    "",
    "HOST:PORT of the first of several processes; TPU pods and SLURM tell it by themselves",
  )
  num_processes = own.integer("num_processes", None, "How many processes train together")
  process_id = own.integer("process_id", None, "Which of them this is, from 0")
  return lambda: hosts.joined(coordinator.value, num_processes.value, process_id.value)
