"""Checkpoints: written in the background, believed only if every byte is what was written.

checkpoints/<step>/state    parameters, moments and counters after that many steps
checkpoints/<step>/regions  region of each spot of the corpus at each level
checkpoints/<step>/meta     config, gene panel, corpus, and the step, which is the data position
checkpoints/<step>/sha256.json   of all of these, written last
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from jax.sharding import SingleDeviceSharding
from jaxtyping import Int
from orbax.checkpoint.options import AtomicityMode, AtomicityOptions

from data_pipelines.problems import BadInputError
from hibio.training import intact
from hibio.training.state import TrainState

FOLDER = "checkpoints"
_ITEMS = ("state", "regions", "meta")


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

    Steps that are not whole are noted and set aside: those that were never finished are deleted,
    damaged ones stay in the folder under another name.

    Raises:
      BadInputError: there are checkpoints, and all of them are damaged.
    """
    step = -1
    if jax.process_index() == 0:
      step = self._newest_whole()
    if jax.process_count() > 1:
      step = int(multihost_utils.broadcast_one_to_all(np.int32(step)))
    return None if step < 0 else _read(self._open(), step, like, like_regions)

  def save(
    self, state: TrainState, regions: Int[np.ndarray, "level corpus_spot"], meta: Mapping[str, Any]
  ) -> None:
    """Starts to write a checkpoint of `state.step`; returns once the arrays are copied."""
    self.wait()
    step = int(state.step)
    if (self._folder / str(step)).exists():
      return
    try:
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
    damaged = []
    for step in reversed(_steps(self._folder)):
      folder = self._folder / str(step)
      if not intact.is_sealed(folder):
        self._say(f"hibio: {folder}: was never finished; deleted")
        shutil.rmtree(folder)
        continue
      if not (problem := intact.damage(folder)):
        return step
      aside = _unused(folder.with_name(f"damaged-{step}"))
      folder.rename(aside)
      damaged.append(f"step {step}: {problem}")
      self._say(f"hibio: {folder}: {problem}; set aside as {aside.name}, taking the one before")
    if damaged:
      raise BadInputError(
        self._folder,
        "checkpoints",
        "; ".join(damaged),
        "at least one whole checkpoint",
        "put back a copy of one, or start again in another --config.workdir",
      )
    return -1

  def _finish(self, step: int) -> None:
    """Waits for the commit, seals it, and only then lets older ones go."""
    try:
      self._manager.wait_until_finished()
      if jax.process_index() == 0:
        intact.seal(self._folder / str(step))
      whole = [one for one in _steps(self._folder) if intact.is_sealed(self._folder / str(one))]
      for old in whole[: -self._keep]:
        self._manager.delete(old)
      self.failed_in_a_row = 0
    except Exception as error:  # whatever the storage below raises
      self._failed(step, error)

  def _failed(self, step: int, error: Exception) -> None:
    """Training goes on; the next save tries again with the space this one held."""
    self.failed_in_a_row += 1
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    self._say(
      f"hibio: {self._folder}: checkpoint of step {step} FAILED ({reason}); those before it are"
      " whole. Is the disk full?"
    )
    if jax.process_index() == 0:
      for path in self._folder.glob(f"{step}*"):
        if path.name.split(".")[0] == str(step) and not intact.is_sealed(path):
          shutil.rmtree(path, ignore_errors=True)


def read_params(workdir: Path) -> tuple[dict[str, Any], dict[str, Any]]:
  """Parameters and meta of the newest whole checkpoint, on one device; changes nothing on disk.

  Raises:
    BadInputError: there is none.
  """
  folder = Path(workdir).absolute() / FOLDER
  problems = []
  for step in reversed(_steps(folder)):
    problem = intact.damage(folder / str(step))
    if not problem:
      manager = _manager(folder, read_only=True)
      try:
        return _params(manager, step)
      finally:
        manager.close()
    problems.append(f"step {step}: {problem}")
  raise BadInputError(
    workdir,
    "checkpoints",
    "; ".join(problems) or "none",
    "a whole checkpoint in the folder checkpoints/",
    "give the work directory of a pretraining run",
  )


def _params(manager: ocp.CheckpointManager, step: int) -> tuple[dict[str, Any], dict[str, Any]]:
  here = SingleDeviceSharding(jax.devices()[0])
  saved = manager.item_metadata(step)["state"].tree
  abstract = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here), saved
  )
  args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract), meta=ocp.args.JsonRestore())
  restored = manager.restore(step, args=args)
  return restored["state"]["params"], restored["meta"]


def _read(
  manager: ocp.CheckpointManager, step: int, like: TrainState, like_regions: np.ndarray
) -> Restored:
  abstract = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), like
  )
  restored = manager.restore(
    step,
    args=ocp.args.Composite(
      state=ocp.args.StandardRestore(abstract),
      regions=ocp.args.StandardRestore({"regions": like_regions}),
      meta=ocp.args.JsonRestore(),
    ),
  )
  return Restored(restored["state"], restored["regions"]["regions"], restored["meta"])


def _manager(folder: Path, read_only: bool = False) -> ocp.CheckpointManager:
  return ocp.CheckpointManager(
    folder,
    item_names=_ITEMS,
    options=ocp.CheckpointManagerOptions(
      cleanup_tmp_directories=not read_only,
      read_only=read_only,
      atomicity_options=AtomicityOptions(mode=AtomicityMode.COMMIT_FILE),
    ),
  )


def _steps(folder: Path) -> list[int]:
  """Steps that have a folder, oldest first; anything else that lies there is not ours."""
  if not folder.is_dir():
    return []
  names = (path.name for path in folder.iterdir() if path.is_dir())
  return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def _unused(path: Path) -> Path:
  number, candidate = 1, path
  while candidate.exists():
    number += 1
    candidate = path.with_name(f"{path.name}-{number}")
  return candidate
