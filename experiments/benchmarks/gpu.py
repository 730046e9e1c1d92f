"""Everything that one accelerator can be asked in ten minutes, a row each.

  python -m experiments.benchmarks.gpu

The rate of a plain matrix product (the ceiling), a training step of S, B and L as a share of it
with the memory it took, the two towers against the same in PyTorch (compiled, fused attention,
bfloat16), and steps fed from disk against steps on a batch that is always the same. Every part runs
in a process of its own: one that fails loses its row alone. On a processor use `--quick`, which
tries all of it on small shapes and says nothing of speed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines import entry
from data_pipelines.loading import loader
from data_pipelines.loading.corpus import Corpus
from data_pipelines.prepare import PrepareOptions, prepare
from experiments import hibio
from experiments.benchmarks import results, side_by_side, step, towers
from experiments.benchmarks.results import Result
from experiments.benchmarks.side_by_side import Case, Pair
from hibio import corpora, pretraining
from hibio.batch import Batch

FLAGS = entry.Flags(__doc__)
_QUICK = FLAGS.bool("quick", False, "Small shapes, to try the script")
_PART = FLAGS.string("part", "", "One part alone, in this process")
_OUTPUT = FLAGS.string("output", results.FILE, "File that results are appended to")
_WINDOWS = FLAGS.list("windows", ["16", "16", "8"], "Windows of 64 spots in a batch of S, B and L")
_CEILING = FLAGS.float("ceiling", 0.0, "Operations a second; 0 measures them")

SIZES = {"small": "S", "base": "B", "large": "L"}
GOALS = {"small": 0.40, "base": 0.50, "large": 0.55}
CEILING, TWIN, STILL = "at the ceiling", "PyTorch, compiled", "on one batch"
PRODUCT, NEVER = "G0 matrix product, bfloat16", "not measured"
SPOTS = 64
SECONDS, ALL_SECONDS = 150, 590
"""For one part at most, and for all of them: a machine is often lent for ten minutes."""


def main() -> None:
  if _PART.value:
    for result in PARTS[_PART.value](_QUICK.value):
      print(json.dumps(result.__dict__), flush=True)
    return
  ceiling, end = _CEILING.value, time.monotonic() + ALL_SECONDS
  for name in PARTS:
    found = _apart(name, ceiling, min(SECONDS, end - time.monotonic()))
    for result in found:
      if name == "ceiling" and result.ours:
        ceiling = result.ours
      print(result.line(), flush=True)
      if not _QUICK.value:
        result.append(Path(_OUTPUT.value))


def _apart(name: str, ceiling: float, seconds: float) -> list[Result]:
  """The results of a part in a process of its own; of one that fails a row that says so."""
  command = [sys.executable, "-m", "experiments.benchmarks.gpu", f"--part={name}"]
  command += [f"--ceiling={ceiling}", f"--windows={','.join(_WINDOWS.value)}"]
  command += ["--quick"] * _QUICK.value
  environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
  try:
    done = subprocess.run(
      command, env=environment, capture_output=True, text=True, timeout=max(seconds, 1), check=False
    )
    why = " ".join(done.stderr.split())[-300:] if done.returncode else ""
  except subprocess.TimeoutExpired:
    done, why = None, f"took more than {seconds:.0f} s"
  lines = done.stdout.splitlines() if done else []
  found = [Result(**json.loads(line)) for line in lines if line.startswith('{"name"')]
  return found or [Result(f"G {name}", "", 0.0, results.FAILED, why)]


def _ceiling(quick: bool) -> Iterator[Result]:
  """Operations a second of one large product in bfloat16."""
  side = 512 if quick else 8192
  left = jax.random.normal(jax.random.key(0), (side, side), jnp.bfloat16)
  product = jax.jit(lambda one: one @ one)
  seconds = step.timed(lambda: jax.block_until_ready(product(left)), 3 if quick else 20)
  rate = 2 * side**3 / seconds
  told = f"{rate / 1e12:,.3g} TFLOP/s"
  yield _result(PRODUCT, "", 0.0, "measured", why=told, ours=rate, unit="FLOP/s")


def _steps(size: str) -> Callable[[bool], Iterator[Result]]:
  def part(quick: bool) -> Iterator[Result]:
    config = hibio.get_config("test" if quick else size)
    model, objectives, training = pretraining.parts(config)
    windows = 2 if quick else int(_WINDOWS.value[list(SIZES).index(size)])
    with tempfile.TemporaryDirectory() as folder:
      corpus = Corpus.open(corpora.corpus("tiny", 0, Path(folder)))
      take = step.stepper(corpus, model, objectives, training)
    batch = step.random_batch(windows, 8 if quick else SPOTS, model.patch_px, len(corpus.panel))
    batch = jax.device_put(batch)
    seconds = step.timed(lambda: take(batch), 2 if quick else 20)
    at_ceiling = step.step_flops(model, corpus, batch) / (_CEILING.value or float("nan"))
    ratio, goal = at_ceiling / seconds, GOALS[size]
    memory = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0) / 1e9
    pairs = batch.spot_mask.size
    told = f"{pairs} pairs, peak {memory:.1f} GB, {pairs / seconds:,.0f} a second"
    status = results.SAME if quick else results.MET if ratio >= goal else results.MISSED
    yield _result(
      f"G1 step of {SIZES[size]}", CEILING, goal, status,
      why=told, ours=seconds, theirs=at_ceiling, ratio=ratio, quartiles=(ratio, ratio), rounds=1,
    )  # fmt: skip

  return part


def _twins(size: str) -> Callable[[bool], Iterator[Result]]:
  def part(quick: bool) -> Iterator[Result]:
    case = Case(
      f"G3 towers and contrast of {SIZES[size]}", TWIN, 1.0,
      lambda small: _both(size, small), same=_within_a_tenth, needs=("torch",),
      clock=side_by_side.wall,
    )  # fmt: skip
    yield dataclasses.replace(side_by_side.measured(case, quick), device=_device())

  return part


def _both(size: str, quick: bool) -> Pair:
  """A step of each, four at a time so that one wait does not count."""
  import torch

  from experiments.benchmarks import torch_twin

  device = "cuda" if torch.cuda.is_available() else "cpu"
  config = towers.size("tiny" if quick else SIZES[size], dtype="bfloat16")
  windows = int(_WINDOWS.value[list(SIZES).index(size)]) // 2  # two models lie on one device
  model = towers.Towers(config)
  batch, keywords = towers.inputs(config, 8 if quick else windows * SPOTS)
  params = jax.jit(model.init)(jax.random.key(0), batch, keywords)["params"]
  theirs = towers.torch_step(torch_twin.of_flax(params, device), config, batch, keywords, device)
  optimizer = towers.make_optimizer(towers.TRAINING)
  take, state = towers.step_of(model, optimizer), [params, optimizer.init(params)]

  def ours() -> float:
    for _ in range(4):
      *state[:], value = take(*state, batch, keywords)
    return float(value)

  return ours, lambda: float([theirs() for _ in range(4)][-1])


def _within_a_tenth(ours: float, theirs: float) -> None:
  """After three updates in bfloat16."""
  np.testing.assert_allclose(ours, theirs, rtol=0.1)


def _fed(quick: bool) -> Iterator[Result]:
  """Steps of B whose batches are read and decoded meanwhile, and steps on one batch."""
  case = Case(
    "G5 step of B, fed from disk", STILL, 0.95, _fed_or_not,
    clock=side_by_side.wall, rounds=5,
  )  # fmt: skip
  yield dataclasses.replace(side_by_side.measured(case, quick), device=_device())


def _fed_or_not(quick: bool) -> Pair:
  model, objectives, training = pretraining.parts(hibio.get_config("test" if quick else "base"))
  folder = tempfile.TemporaryDirectory()
  beside = Path(folder.name)
  corpora.corpus("tiny", 0, beside)
  raw, sets = beside / "synthetic-tiny" / "raw", beside / "synthetic-tiny" / "raw" / "programs.gmt"
  prepare([raw], beside / "corpus", PrepareOptions(patch_px=model.patch_px, gene_sets=(sets,)))
  corpus = Corpus.open(beside / "corpus")
  take, number = step.stepper(corpus, model, objectives, training), 2 if quick else 10
  read = loader.batches(
    corpus, "train", windows_per_batch=4 if quick else 16, sections_per_batch=1, seed=0,
    num_threads=os.cpu_count() or 1,
  )  # fmt: skip
  one = jax.device_put(Batch(**next(read)))

  def fed() -> float:
    assert folder  # it goes when nothing holds it any more
    for _ in range(number):
      take(Batch(**next(read)))
    return 0.0

  def still() -> float:
    for _ in range(number):
      take(one)
    return 0.0

  return fed, still


def _result(name: str, peer: str, goal: float, status: str, **figures: Any) -> Result:
  return Result(name, peer, goal, status, device=_device(), **figures)


def _device() -> str:
  return jax.devices()[0].device_kind


PARTS: dict[str, Callable[[bool], Iterator[Result]]] = {
  "ceiling": _ceiling,
  **{f"step-{size}": _steps(size) for size in ("large", "base", "small")},
  **{f"twin-{size}": _twins(size) for size in ("large", "base", "small")},
  "fed": _fed,
}
"""What matters most comes first, for a machine that is taken away early."""

CASES = (
  Result(PRODUCT, "", 0.0, NEVER),
  *(Result(f"G1 step of {name}", CEILING, GOALS[size], NEVER) for size, name in SIZES.items()),
  *(Result(f"G3 towers and contrast of {name}", TWIN, 1.0, NEVER) for name in SIZES.values()),
  Result("G5 step of B, fed from disk", STILL, 0.95, NEVER),
)
"""The rows of the table."""

if __name__ == "__main__":
  entry.run(main, FLAGS)
