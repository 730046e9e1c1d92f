"""How a run leaves where its main thread cannot: it is compiling, or waits for a batch in vain."""

from __future__ import annotations

import contextlib
import faulthandler
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

import jax

from data_pipelines import console
from hibio.training import hosts
from hibio.training.stopping import (
  INTERRUPTED,
  NO_DATA,
  Interruption,
  Patience,
  RunStopped,
)


@runtime_checkable
class Run(Protocol):
  """What is asked of a run that is left."""

  position: int

  def save_now(self) -> None:
    """Writes the line and the checkpoint of the last step; returns when they are on disk."""

  def end(self, how: str) -> None:
    """Writes into `run.json` how it ended."""


class Departure:
  """Ends a run after a signal, at once where that costs nothing.

  Args:
    patience: seconds without a batch after which it leaves, too.
  """

  def __init__(self, run: Run, workdir: Path, interruption: Interruption, patience: float):
    self._run, self._workdir, self._interruption = run, workdir, interruption
    self._seconds, self._starved = patience, False
    self._patience = Patience(patience, self._without_data)

  def __enter__(self) -> Departure:
    self._patience.__enter__()
    return self

  def __exit__(self, *_) -> None:
    self._patience.__exit__()

  def asked(self, *, agree: bool) -> bool:
    """Whether to stop now, see `Interruption.asked`."""
    return self._interruption.asked(agree=agree)

  def stop(self) -> None:
    """Ends the run, in the main thread, after the step that has just been saved.

    Raises:
      RunStopped: status 75.
    """
    self._run.end("interrupted")
    raise RunStopped(INTERRUPTED, self._farewell())

  @contextlib.contextmanager
  def waiting_for_data(self) -> Iterator[None]:
    """Waiting for a batch, for as long as the patience lasts."""
    with self.lasting(saves=True), self._patience.piece():
      yield

  def lasting(self, saves: bool) -> contextlib.AbstractContextManager[None]:
    """Work that may last, see `Interruption.lasting`.

    Args:
      saves: whether there may be something that is not saved yet. Several processes can save only
        together; they wait for the end of such work.
    """
    waits = saves and jax.process_count() > 1
    return self._interruption.lasting(None if waits else self._leaves(saves))

  def _leaves(self, saves: bool) -> Callable[[], None]:
    def leave() -> None:
      code, message = self._last_words()
      try:
        if saves and self._run.position:
          self._run.save_now()
        self._run.end("no data" if self._starved else "interrupted")
      except RunStopped as stopped:
        code, message = stopped.code, stopped.message
      except Exception as error:  # whatever it is, nobody would come back to end the process
        console.say(f"hibio: {self._workdir}: not saved ({type(error).__name__}: {error})")
      console.say(message)
      hosts.leave(code, message)

    return leave

  def _without_data(self) -> None:
    console.say(f"hibio: no batch for {self._seconds:g} s; where every thread stands:")
    faulthandler.dump_traceback(file=2, all_threads=True)
    self._starved = True
    if jax.process_count() > 1:
      self._leaves(saves=False)()
    self._interruption.leave()

  def _last_words(self) -> tuple[int, str]:
    if not self._starved:
      return INTERRUPTED, self._farewell()
    return NO_DATA, (
      f"hibio: {self._workdir}: no batch came for {self._seconds:g} s after step"
      f" {self._run.position}. Fix: look at the disk that the corpus lies on, then run the same"
      " command again."
    )

  def _farewell(self) -> str:
    who, position = self._interruption.name or "another process", self._run.position
    at = f"at step {position}, which is saved" if position else "before its first step"
    return f"hibio: {self._workdir}: {who} stopped it {at}. Run the same command again to go on."
