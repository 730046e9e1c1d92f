"""What this machine is fit for: versions, devices, memory, disks, and a training run of seconds.

  python -m experiments.doctor
  python -m experiments.doctor --workdir=DIR

One line a check; exit status 1 where one of them fails. The last one makes tissue, prepares it,
takes four steps of a tiny model, saves, and reads the checkpoint back, in a folder that it removes.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from packaging.requirements import Requirement

from data_pipelines import compile_cache, console, entry
from data_pipelines.entry import ROOT

FLAGS = entry.Flags(__doc__)
_WORKDIR = FLAGS.string("workdir", ".", "Folder whose disk is looked at, and tried")
_TRAIN = FLAGS.bool("train", True, "Also train for some seconds")

_LEAST_MEMORY_GB, _LEAST_DISK_GB = 4, 5
"""What `make demo` needs, with some room."""


class Unfit(Exception):
  """Says what is wrong, and what to do."""


def main() -> None:
  checks = {
    "python": _python,
    "packages": _packages,
    "devices": _devices,
    "memory": _memory,
    "shared memory": _shared_memory,
    "disk": lambda: _disk(Path(_WORKDIR.value)),
    "compile cache": _compile_cache,
  }
  if _TRAIN.value:
    checks["training"] = lambda: _training(Path(_WORKDIR.value))
  failed = [name for name, check in checks.items() if not _passes(name, check)]
  print(f"\n{'wrong: ' + ', '.join(failed) if failed else 'all is well'}")
  sys.exit(int(bool(failed)))


def _passes(name: str, check: Callable[[], str]) -> bool:
  try:
    found, fine = check(), True
  except Exception as problem:
    about = str(problem) if isinstance(problem, Unfit) else f"{type(problem).__name__}: {problem}"
    found, fine = about, False
  print(f"{'ok' if fine else 'WRONG':<6} {name:<14} {found}", flush=True)
  return fine


def _python() -> str:
  return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _packages() -> str:
  """Whether what `requirements.txt` asks for is installed."""
  lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
  wanted = [Requirement(line.partition("#")[0]) for line in lines if line.partition("#")[0].strip()]
  wrong = []
  for one in wanted:
    if one.marker is not None and not one.marker.evaluate():
      continue
    try:
      version = importlib.metadata.version(one.name)
    except importlib.metadata.PackageNotFoundError:
      wrong.append(f"{one.name} is missing")
      continue
    if version not in one.specifier:
      wrong.append(f"{one.name} is {version}, not {one.specifier}")
  if wrong:
    raise Unfit(f"{'; '.join(wrong)}: pip install -r requirements.lock")
  return f"{len(wanted)} as required; jax {importlib.metadata.version('jax')}"


def _devices() -> str:
  import jax

  devices = jax.devices()
  found = f"{len(devices)} x {devices[0].device_kind} ({jax.default_backend()})"
  if jax.default_backend() == "cpu" and shutil.which("nvidia-smi"):
    raise Unfit(f"{found}, though there is an NVIDIA driver: pip install -e '.[cuda]'")
  return f"{found}, {_cores()} cores"


def _cores() -> int:
  return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> str:
  gigabytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
  limit = _container_limit()
  usable = min(gigabytes, limit) if limit else gigabytes
  if usable < _LEAST_MEMORY_GB:
    raise Unfit(f"{usable:.1f} GB, and {_LEAST_MEMORY_GB} are needed")
  return f"{gigabytes:.1f} GB" + (f", of which {limit:.1f} may be used" if limit else "")


def _container_limit() -> float:
  """GB that a control group allows; 0 where there is no limit."""
  try:
    text = Path("/sys/fs/cgroup/memory.max").read_text().strip()
  except OSError:
    return 0.0
  return int(text) / 1e9 if text.isdecimal() else 0.0


def _shared_memory() -> str:
  """Batches are read by threads, which need none; other programs' loaders may."""
  folder = Path("/dev/shm")
  if not folder.is_dir():
    return "none; not needed"
  return f"{shutil.disk_usage(folder).total / 1e6:,.0f} MB; not needed"


def _disk(folder: Path) -> str:
  if not folder.is_dir():
    raise Unfit(f"{folder} is no folder: name another --workdir")
  free = shutil.disk_usage(folder).free / 1e9
  with tempfile.NamedTemporaryFile(dir=folder) as file:
    begun = time.monotonic()
    file.write(os.urandom(1 << 20) * 64)
    file.flush()
    os.fsync(file.fileno())
    rate = 64 * (1 << 20) / 1e6 / max(time.monotonic() - begun, 1e-9)
  if free < _LEAST_DISK_GB:
    raise Unfit(f"{free:.1f} GB free in {folder.resolve()}, and {_LEAST_DISK_GB} are needed")
  return f"{free:,.1f} GB free in {folder.resolve()}, written at {rate:,.0f} MB/s"


def _compile_cache() -> str:
  folder = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(compile_cache.default_folder()))
  if not folder:
    return "switched off"
  try:
    Path(folder).mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder):
      pass
  except OSError as error:
    raise Unfit(f"{folder}: {error.strerror}: name another by JAX_COMPILATION_CACHE_DIR") from error
  return folder


def _training(folder: Path) -> str:
  from experiments.hibio import get_config
  from hibio import pretraining
  from hibio.training import metrics
  from hibio.training.checkpoints import read_params

  begun = time.monotonic()
  with tempfile.TemporaryDirectory(prefix=".hibio-doctor-", dir=folder) as place:
    config = get_config("test,spot_only")  # less to compile
    config.workdir = str(Path(place) / "run")
    config.training.update(num_steps=4, evaluate_every=0, checkpoint_every=4)
    console.say("training a tiny model: usually 10 to 60 s on a CPU, most of them for compiling")
    console.silence()
    pretraining.run(config)
    step = read_params(Path(config.workdir))[1]["step"]
    losses = [line["loss"] for line in metrics.read(Path(config.workdir))]
  if step != 4 or None in losses:
    raise Unfit(f"step {step}, losses {losses}: please report this")
  return (
    f"4 steps of a tiny model, loss {losses[0]:.2f} to {losses[-1]:.2f}, saved and read back,"
    f" {time.monotonic() - begun:.0f} s in all"
  )


if __name__ == "__main__":
  entry.run(main, FLAGS)
