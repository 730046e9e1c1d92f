"""Checkpoints: written in the background, believed only if every byte is what was written.

checkpoints/<step>/state    parameters, moments and counters after that many steps
checkpoints/<step>/regions  region of each spot of the corpus at each level
checkpoints/<step>/meta     config, gene panel, corpus, and the step, which is the data position
checkpoints/<step>/sha256.json   of all of these, written last
"""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import SingleDeviceSharding
from jaxtyping import Int
from orbax.checkpoint.options import AsyncOptions, AtomicityMode, AtomicityOptions

from data_pipelines import console
from data_pipelines.problems import BadInputError
from hibio.training import hosts, intact
from hibio.training.state import TrainState
from hibio.training.stopping import RunStopped

FOLDER = "checkpoints"
_ITEMS = ("state", "regions", "meta")
NEVER_FINISHED = "was never finished"


class Restored(NamedTuple):
  """A checkpoint read back."""

  state: TrainState
  regions: Int[np.ndarray, "level corpus_spot"]
  meta: dict[str, Any]


class Checkpoints:
  """The checkpoints of a work directory that is being trained in.

  Attributes:
    failed_in_a_row: saves since the last one that succeeded; each was reported, none raised.
  """

  def __init__(self, workdir: Path, keep: int, say: Callable[[str], None] = print):
    self.failed_in_a_row = 0
    self._folder = workdir.absolute() / FOLDER
    self._keep, self._say = max(1, keep), say
    self._finishing: threading.Thread | None = None
    self._manager: ocp.CheckpointManager | None = None

  def restore(
    self, like: TrainState, like_regions: Int[np.ndarray, "level corpus_spot"]
  ) -> Restored | None:
    """The newest checkpoint that is whole, laid out like `like`; None if there is none yet.

    Steps that are not whole are noted: those that were never finished are deleted, damaged ones
    stay in the folder under another name. What this class has not written is left alone.

    Raises:
      BadInputError: there are checkpoints, and all of them are damaged, or the newest is laid out
        otherwise.
    """
    step = int(hosts.from_first(lambda: np.int32(self._newest_whole()), np.int32(-1)))
    return None if step < 0 else _read(self._open(), step, like, like_regions)

  def save(
    self, state: TrainState, regions: Int[np.ndarray, "level corpus_spot"], meta: Mapping[str, Any]
  ) -> None:
    """Starts to write a checkpoint of `state.step`; returns once the arrays are copied."""
    self.wait()
    step = int(state.step)
    folder = self._folder / str(step)
    if hosts.from_first(lambda: np.bool_(intact.is_sealed(folder)), np.bool_(False)):
      return
    try:
      if hosts.is_first() and folder.exists():
        folder.rename(_unused(folder.with_name(f"foreign-{step}")))
      self._open().save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(state),
          regions=ocp.args.StandardSave({"regions": np.asarray(regions)}),
          meta=ocp.args.JsonSave({**meta, "step": step}),
        ),
        force=True,
      )
    except Exception as error:  # whatever the storage below raises
      self._failed(step, error)
      return
    self._finishing = threading.Thread(target=self._finish, args=(step,), daemon=True)
    self._finishing.start()

  def wait(self) -> None:
    """Returns when what `save` began is on disk and sealed, or has failed."""
    if self._finishing is not None:
      self._finishing.join()
      self._finishing = None

  def __enter__(self) -> Checkpoints:
    return self

  def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
    # After an error others may be gone, and what was begun would wait for them.
    if kind is None or issubclass(kind, RunStopped) or jax.process_count() == 1:
      self.close()

  def close(self) -> None:
    """Waits for what was begun and lets go of threads."""
    self.wait()
    if self._manager is not None:
      self._manager.close()
      self._manager = None

  def _open(self) -> ocp.CheckpointManager:
    if self._manager is None:
      self._folder.mkdir(parents=True, exist_ok=True)
      self._manager = _manager(self._folder)
    return self._manager

  def _newest_whole(self) -> int:
    """-1 if there is none."""
    for begun in self._folder.glob("*.orbax-checkpoint-tmp*"):
      shutil.rmtree(begun)
    damaged = {}
    for step in reversed(_steps(self._folder)):
      folder = self._folder / str(step)
      if not intact.is_sealed(folder):
        if _is_ours(folder):
          self._say(f"hibio: {folder}: was never finished; deleted")
          shutil.rmtree(folder)
      elif problem := intact.damage(folder):
        damaged[folder] = problem
      else:
        for bad, problem in damaged.items():
          aside = bad.rename(_unused(bad.with_name(f"damaged-{bad.name}")))
          self._say(
            f"hibio: {bad}: {problem}; set aside as {aside.name}, going on from step {step}"
          )
        return step
    if damaged:  # left where they are: the next start must not take the folder for an empty one
      raise BadInputError(
        self._folder,
        "checkpoints",
        "; ".join(f"step {bad.name}: {problem}" for bad, problem in damaged.items()),
        "at least one whole checkpoint",
        "put back a copy of one, or start again in another --config.workdir",
      )
    return -1

  def _finish(self, step: int) -> None:
    """Waits for the commit, seals it, and only then lets older ones go."""
    try:
      self._manager.wait_until_finished()
      if hosts.is_first():
        intact.seal(self._folder / str(step))
        self._let_go(step)
      self.failed_in_a_row = 0
    except Exception as error:  # whatever the storage below raises
      self._failed(step, error)

  def _let_go(self, newest: int) -> None:
    """Deletes all but the newest whole ones, by step: clocks may jump."""
    older = [step for step in _steps(self._folder) if step < newest]
    whole = [step for step in older if intact.is_sealed(self._folder / str(step))]
    for step in set(older) - set(whole[len(whole) - self._keep + 1 :]):
      if _is_ours(self._folder / str(step)):
        intact.remove(self._folder / str(step))  # one that is being read stays until the next time

  def _failed(self, step: int, error: Exception) -> None:
    """Training goes on; the next save tries again with the space this one held."""
    self.failed_in_a_row += 1
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    self._say(
      f"hibio: {self._folder}: checkpoint of step {step} FAILED ({reason}); those before it are"
      " whole. Is the disk full?"
    )
    manager, self._manager = self._manager, None  # its threads remember the failure
    with contextlib.suppress(Exception):
      manager.close()
    if hosts.is_first():
      for path in self._folder.glob(f"{step}*"):
        if path.name.split(".")[0] == str(step) and not intact.is_sealed(path):
          shutil.rmtree(path, ignore_errors=True)


def read_params(workdir: Path) -> tuple[dict[str, Any], dict[str, Any]]:
  """Parameters and meta of the newest whole checkpoint, on one device; changes nothing on disk.

  Says so where a newer one is damaged. The run may go on meanwhile: a checkpoint that is being read
  is not deleted.

  Raises:
    BadInputError: there is none.
  """
  folder, before, steps = Path(workdir).absolute() / FOLDER, None, []
  while before != (steps := _steps(folder)):  # else a newer one has come, and these may be gone
    before, problems = steps, {}
    for step in reversed(steps):
      with intact.kept(folder / str(step)) as there:
        problem = intact.damage(folder / str(step)) if there else NEVER_FINISHED
        if not problem:
          _tell(folder, problems, step)
          return _params(folder / str(step) / "state"), _meta(folder / str(step) / "meta")
      problems[step] = problem
  raise BadInputError(
    workdir,
    "checkpoints",
    "; ".join(f"step {step}: {problem}" for step, problem in problems.items()) or "none",
    "a whole checkpoint in the folder checkpoints/",
    "give the work directory of a pretraining run",
  )


def _tell(folder: Path, problems: Mapping[int, str], step: int) -> None:
  for bad, problem in problems.items():
    if problem != NEVER_FINISHED:  # which one is that is being written
      console.say(f"hibio: warning: {folder / str(bad)}: {problem}; step {step} is read instead")


def survey(workdir: Path, verify: bool = True) -> dict[int, str]:
  """Step of each checkpoint, the newest first -> what is wrong with it; empty for a whole one.

  Args:
    verify: whether every byte is looked at; else one that was finished counts as whole.
  """
  folder = Path(workdir).absolute() / FOLDER
  found = {}
  for step in reversed(_steps(folder)):
    with intact.kept(folder / str(step)) as there:
      found[step] = "" if there else NEVER_FINISHED
      if there and verify:
        found[step] = intact.damage(folder / str(step))
  return found


def _params(folder: Path) -> dict[str, Any]:
  """Only the parameters: the optimizer's moments, twice their size, are not read."""
  here = SingleDeviceSharding(jax.local_devices()[0])
  reader = ocp.PyTreeCheckpointHandler()
  like = {
    "params": jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here),
      reader.metadata(folder).tree["params"],
    )
  }
  args = ocp.args.PyTreeRestore(
    item=like,
    restore_args=ocp.checkpoint_utils.construct_restore_args(like),
    partial_restore=True,
  )
  return reader.restore(folder, args=args)["params"]


def _meta(folder: Path) -> dict[str, Any]:
  return ocp.JsonCheckpointHandler().restore(folder, args=ocp.args.JsonRestore())


def _read(
  manager: ocp.CheckpointManager, step: int, like: TrainState, like_regions: np.ndarray
) -> Restored:
  abstract = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), like
  )
  wanted = ocp.args.Composite(
    state=ocp.args.StandardRestore(abstract),
    regions=ocp.args.StandardRestore({"regions": like_regions}),
    meta=ocp.args.JsonRestore(),
  )
  try:
    restored = manager.restore(step, args=wanted)
  except (KeyError, TypeError, ValueError) as error:  # whole, so it is another model's
    raise BadInputError(
      Path(manager.directory) / str(step),
      "parameters",
      f"others than this model has ({str(error).splitlines()[0]})",
      "those that this config and this version of the code give",
      "go on with what the run began with (run.json names versions), or give another"
      " --config.workdir",
    ) from error
  return Restored(restored["state"], restored["regions"]["regions"], restored["meta"])


def _manager(folder: Path) -> ocp.CheckpointManager:
  return ocp.CheckpointManager(
    folder,
    item_names=_ITEMS,
    options=ocp.CheckpointManagerOptions(
      # Off, as it also deletes folders that only have a number for a name.
      cleanup_tmp_directories=False,
      atomicity_options=AtomicityOptions(mode=AtomicityMode.COMMIT_FILE),
      # Else threads wait twenty minutes for a folder that could not be made.
      async_options=AsyncOptions(create_directories_asynchronously=False),
    ),
  )


def _steps(folder: Path) -> list[int]:
  """Steps that have a folder, oldest first; anything else that lies there is not ours."""
  if not folder.is_dir():
    return []
  names = (path.name for path in folder.iterdir() if path.is_dir())
  return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def _is_ours(folder: Path) -> bool:
  """Whether a folder with a step's name is a checkpoint, or what is left of one."""
  names = {path.name for path in folder.iterdir()}
  return not names or bool(names & {*_ITEMS, "_CHECKPOINT_METADATA", "commit_success.txt"})


def _unused(path: Path) -> Path:
  number, candidate = 1, path
  while candidate.exists():
    number += 1
    candidate = path.with_name(f"{path.name}-{number}")
  return candidate
