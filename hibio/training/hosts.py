"""Several processes as one run: they find each other, wait for the first, and end together.

What only one may do (make a corpus, hold the work directory, draw a figure) the first process does
in `first_alone`. A process that ends before its time tells the others why, so that none of them
waits for it in vain; of one that was killed JAX tells them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils
from orbax.checkpoint import multihost

from data_pipelines import console
from data_pipelines.leaving import Stopped
from data_pipelines.problems import EXIT_BAD_INPUT, BadInputError
from hibio.training import aborting
from hibio.training.stopping import GONE, TOGETHER, RunStopped

PATIENCE_SECONDS = 300
"""How long processes wait for each other when they start."""

_FLAGS = ("--coordinator", "--num_processes", "--process_id")
_WEEK_MS = 7 * 24 * 3600 * 1000
"""A wait that has no end of its own: a process that dies meanwhile ends it."""
_ENDED = "hibio/ended/"
_LISTEN_SECONDS = 1.0

_waits = itertools.count()
"""Each wait needs a name of its own, the same in all processes."""


@contextlib.contextmanager
def joined(
  coordinator: str = "", num_processes: int | None = None, process_id: int | None = None
) -> Iterator[None]:
  """The processes of a run as one, which begin and end together; must come before any computation.

  Without arguments it is JAX that finds the others, from what a TPU pod, SLURM, Open MPI or
  Kubernetes tells a process; where none of them started several, the process is alone and nothing
  happens. The first process alone speaks on the console.

  Args:
    coordinator: HOST:PORT that the first process listens at.
    num_processes: of the whole run; 1 is alone, whatever the environment says.
    process_id: from 0, which is the first process.

  Raises:
    BadInputError: some of the three are missing or impossible, or the environment says too little.
  """
  _check(coordinator, num_processes, process_id)
  if num_processes == 1 or not (coordinator or launched(os.environ)):
    yield
    return
  _meet(coordinator, num_processes, process_id)
  if not is_first():
    console.silence()
  console.say(f"{jax.process_count()} processes, {jax.device_count()} devices")
  told = threading.Event()
  listening = threading.Thread(target=_listen, args=(told,), daemon=True)
  listening.start()
  try:
    yield
  except BaseException as end:
    if not (isinstance(end, RunStopped) and end.code in TOGETHER):
      told.set()
      _end_all(end)
    _part(told, listening)
    raise
  _part(told, listening)


def launched(environment: Mapping[str, str]) -> bool:
  """Whether a launcher that JAX knows has started this process as one of several."""
  tasks = "SLURM_NTASKS" if "SLURM_STEP_NODELIST" in environment else "OMPI_COMM_WORLD_SIZE"
  kubernetes = {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"} <= environment.keys()
  # JAX writes it where it finds a TPU; of a pod's other hosts, only the pod itself knows.
  tpu = "TPU_ML_PLATFORM" in environment and environment.get("JAX_PLATFORMS") != "cpu"
  return int(environment.get(tasks) or 1) > 1 or kubernetes or tpu


def is_first() -> bool:
  """Whether this is the process that speaks and writes for all; alone, every process is."""
  return jax.process_index() == 0


@contextlib.contextmanager
def first_alone() -> Iterator[bool]:
  """The first process enters the block, as True; when it has left, the others enter, as False."""
  if is_first():
    yield True
  _wait()
  if not is_first():
    yield False


def from_first(work: Callable[[], Any], like: Any) -> Any:
  """What the first process makes, given to all; they wait for it.

  Args:
    like: arrays of the same shapes and types.
  """
  with first_alone() as first:
    made = work() if first else like
  return multihost_utils.broadcast_one_to_all(made) if jax.process_count() > 1 else made


def leave(code: int, message: str) -> NoReturn:
  """Ends this process at once, from any thread; of several processes all of them."""
  if jax.process_count() > 1:
    _end_all(Stopped(code, message))
  _exit("", code)


def most(number: int) -> int:
  """The largest number that a process has."""
  return int(multihost_utils.process_allgather(np.int32(number)).max())


def _check(coordinator: str, num_processes: int | None, process_id: int | None) -> None:
  """Refuses flags that cannot mean anything."""
  given = [bool(coordinator), num_processes is not None, process_id is not None]
  if not any(given) or (num_processes == 1 and given == [False, True, False]):
    return
  if not all(given):
    missing = ", ".join(name for name, there in zip(_FLAGS, given, strict=True) if not there)
    raise BadInputError(
      "flags", missing, "nothing", f"all of {', '.join(_FLAGS)}, or none of them",
      "give all three to every process, or none where a launcher is to be asked",
    )  # fmt: skip
  host, _, port = coordinator.rpartition(":")
  if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
    raise BadInputError(
      "flags", "--coordinator", repr(coordinator), "HOST:PORT",
      "name the first process's host and a free port there, such as 10.0.0.1:8476",
    )  # fmt: skip
  if num_processes < 1:
    raise BadInputError(
      "flags", "--num_processes", str(num_processes), "1 or more", "say how many are started"
    )
  if not 0 <= process_id < num_processes:
    raise BadInputError(
      "flags", "--process_id", str(process_id), f"0 to {num_processes - 1}",
      "number the processes from 0; --num_processes says how many there are",
    )  # fmt: skip
  if process_id == 0 and num_processes > 1:
    try:
      socket.create_server(("", int(port))).close()
    except OSError as error:  # JAX would crash
      raise BadInputError(
        "flags", "--coordinator", f"port {port}: {os.strerror(error.errno)}",
        "a port that is free on the first process's host", "give all processes another one",
      ) from error  # fmt: skip


def _meet(coordinator: str, num_processes: int | None, process_id: int | None) -> None:
  """Returns when all processes have found each other."""
  # It would take SIGTERM for itself, before and after training too.
  jax.config.update("jax_enable_preemption_service", False)
  where = coordinator or "the address that the launcher names"
  # JAX does not raise when its own time is up, it aborts.
  patience = threading.Timer(PATIENCE_SECONDS, _give_up, (where, num_processes))
  patience.daemon = True
  patience.start()
  try:
    jax.distributed.initialize(
      coordinator or None,
      num_processes,
      process_id,
      initialization_timeout=2 * PATIENCE_SECONDS,
      # With flags, a process has all devices of its host.
      cluster_detection_method="deactivate" if coordinator else None,
    )
    jax.devices()  # meets the others once more
  except (ValueError, RuntimeError, OSError, ImportError) as error:
    raise BadInputError(
      "environment", "launcher", str(error).partition("\n")[0],
      "several processes that JAX can join",
      f"give {', '.join(_FLAGS)} to every process, or --num_processes=1 to one that is alone",
    ) from error  # fmt: skip
  finally:
    patience.cancel()
  aborting.explained(_gone(), GONE)


def _give_up(where: str, num_processes: int | None) -> NoReturn:
  problem = BadInputError(
    where,
    "processes",
    f"not all of them within {PATIENCE_SECONDS} s",
    f"{num_processes or 'all'} that reach the first one there",
    "start every process, each with its own id and the same address, which no firewall may close",
  )
  _exit(str(problem), EXIT_BAD_INPUT)


def _wait() -> None:
  """Until every process has come here."""
  if jax.process_count() > 1:
    client = multihost.get_jax_distributed_client()
    client.wait_at_barrier(f"hibio/wait/{next(_waits)}", _WEEK_MS)


def _listen(told: threading.Event) -> None:
  """Ends this process soon after another one has said that it ended."""
  client = multihost.get_jax_distributed_client()
  while not told.wait(_LISTEN_SECONDS):
    try:
      ended = client.key_value_dir_get(_ENDED)
    except Exception:  # the service is gone: JAX ends this process
      return
    for _, words in ended:
      code, _, message = words.partition(" ")
      if not told.is_set():
        _exit(message, int(code))


def _end_all(end: BaseException) -> NoReturn:
  """Says why this process ends, tells the others, and ends: they would wait for it for ever."""
  code, message = _last_words(end)
  me = f"process {jax.process_index()} on {socket.gethostname()}"
  words = f"{code} hibio: {me} ended: {message.removeprefix('hibio: ')}"
  with contextlib.suppress(Exception):  # the service may be gone
    multihost.get_jax_distributed_client().key_value_set(f"{_ENDED}{jax.process_index()}", words)
    if is_first():  # takes the service along
      threading.Event().wait(3 * _LISTEN_SECONDS)
  _exit("" if isinstance(end, Stopped) else message, code)  # that one has been told


def _last_words(end: BaseException) -> tuple[int, str]:
  """The exit status that belongs to an exception, and one line about it."""
  if isinstance(end, BadInputError):
    return EXIT_BAD_INPUT, str(end)
  if isinstance(end, Stopped):
    return end.code, end.message or "asked to stop"
  if isinstance(end, jax.errors.JaxRuntimeError) and "Gloo" in str(end):
    return GONE, _gone()  # a neighbour in a sum over processes, on CPUs
  traceback.print_exception(end)
  return 1, f"{type(end).__name__}: {end}".splitlines()[0]


def _gone() -> str:
  return (
    "hibio: another process of this run is gone; its own log says why. Checkpoints are whole: start"
    " all processes again to go on."
  )


def _part(told: threading.Event, listening: threading.Thread) -> None:
  """Waits for the others, and lets go of them."""
  _wait()
  told.set()
  listening.join()
  jax.distributed.shutdown()


def _exit(message: str, code: int) -> NoReturn:
  """At once: leaving in order would wait for the others."""
  sys.stdout.flush()
  if message:
    print(message, file=sys.stderr, flush=True)
  os._exit(code)
