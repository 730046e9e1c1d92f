"""The only loop. It never names an objective: those are data in the config and functions handed in.

Calling `train` again with the same arguments resumes from the newest whole checkpoint. The position
in the data is the step, so that a restart changes nothing of what is seen.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data_pipelines import console, files
from hibio.batch import Batch
from hibio.training import hosts, lock, sharding, stages, state
from hibio.training import workdir as workdirs
from hibio.training.checkpoints import Checkpoints
from hibio.training.departure import Departure
from hibio.training.description import check_same
from hibio.training.guard import Guard
from hibio.training.journal import HELD_OUT, Journal
from hibio.training.optimizer import make_optimizer
from hibio.training.recipe import Recipe, TrainResult
from hibio.training.step import Step, make_train_step
from hibio.training.stopping import CANNOT_SAVE, Interruption, RunStopped, too_large
from hibio.training.tables import save_tables
from hibio.training.timing import Stopwatch

MAX_FAILED_SAVES = 3
_IN_FLIGHT = 2
"""Steps that the device is given ahead of their results, so that it never waits for the next."""


def train(recipe: Recipe, workdir: Path, clock: Stopwatch | None = None) -> TrainResult:
  """Trains to the last step, from the start or from the newest checkpoint of the work directory.

  Args:
    clock: what `run.json` takes the seconds from; a new one by default.

  Raises:
    BadInputError: a config that cannot work or does not fit into memory, or a work directory that
      belongs to another run.
    RunStopped: status 73 for a work directory in use, 74 where checkpoints cannot be written, 75
      after a request to stop (saved), 76 after too many steps that were not finite. Where the main
      thread does not come back, from a compiler or a loader, the process itself ends with 75 or 78.
  """
  workdir, clock, config = Path(workdir), clock or Stopwatch(), recipe.training
  with clock.part("set-up"):
    mesh = sharding.make_mesh(config.mesh)
    sharding.check_divisible(config.windows_per_batch, mesh)
    stages.objective_weights(0, config, recipe.weights)  # refuses what cannot work early
  with (
    _sole_run(workdir) as alive,
    Interruption() as interruption,
    Checkpoints(workdir, config.keep_checkpoints, console.say) as checkpoints,
  ):
    run = _Run(recipe, workdir, checkpoints, clock, alive, interruption)
    try:
      with (
        clock.part("set-up"),
        console.announced("setting up the run", "5 to 30 s on a CPU"),
        run.departure.lasting(saves=False),
        workdirs.written_in(workdir),
      ):
        step = run.set_up(mesh)
      with run.departure:
        run.steps(step, mesh)
    except Exception as error:
      run.end(f"failed ({type(error).__name__})")
      if (problem := too_large(error, config)) is not None:
        raise problem from error
      raise
  workdirs.record(workdir, seconds=clock.shares())
  return TrainResult(run.state.params, run.regions(), int(run.state.step), int(run.state.skipped))


class _Run:
  """The moving parts of one start of a run."""

  def __init__(
    self,
    recipe: Recipe,
    workdir: Path,
    checkpoints: Checkpoints,
    clock: Stopwatch,
    alive: Callable[[], None],
    interruption: Interruption,
  ):
    self._recipe, self._config, self._workdir = recipe, recipe.training, workdir
    self._checkpoints, self._clock, self._alive = checkpoints, clock, alive
    self.position = 0  # steps taken
    self.departure = Departure(self, workdir, interruption, recipe.training.data_patience)
    self._description = recipe.describe()
    self._guard: Guard | None = None
    self._in_flight: deque = deque()
    self._announced: set[str] = set()

  def set_up(self, mesh: jax.sharding.Mesh) -> Step:
    """Claims the work directory, restores or makes the state, and gives the step to take."""
    recipe, first = self._recipe, hosts.is_first()
    if first:
      workdirs.claim(self._workdir, self._description, recipe.panel)
      save_tables(self._workdir, recipe.corpus["gene_sets"]["names"], recipe.tables)
    optimizer = make_optimizer(self._config, recipe.trained)
    layout = state.abstract(jax.eval_shape(recipe.init), optimizer, mesh)
    if first:
      needed = int(1.1 * state.num_bytes(layout))
      files.require_room(self._workdir / workdirs.RUN, needed, "--config.workdir")
    restored = self._checkpoints.restore(layout, np.asarray(recipe.tables.regions))
    if restored is None:
      self.state, tables = state.create(recipe.init(), optimizer, mesh), recipe.tables
    else:
      check_same(self._workdir, restored.meta, self._description)
      self.state, tables = restored.state, recipe.tables.replace(regions=restored.regions)
    self.tables = sharding.replicate(tables, mesh)
    self.position = int(self.state.step)
    self._journal = Journal(
      self._workdir, self._config, self.position, self._looks(), self._clock, self._alive
    )
    self._record_start(mesh, self._journal.before)
    names = [one["section_id"] for one in self._description["corpus"]["sections"]]
    self._guard = Guard(self._workdir, names, self.state)
    return make_train_step(
      forward=recipe.forward,
      total=recipe.total,
      optimizer=optimizer,
      base_weights=recipe.weights,
      config=self._config,
      mesh=mesh,
      state=layout,
    )

  def regions(self) -> np.ndarray:
    return np.asarray(self.tables.regions)

  def steps(self, step: Step, mesh: jax.sharding.Mesh) -> None:
    """Takes the steps that are left."""
    config, recipe, data = self._config, self._recipe, None
    refresh_at = stages.refresh_steps(config) if recipe.refresh_regions else ()
    if self.departure.asked(agree=False):
      self.departure.stop()
    if self._journal.owes_look():
      self._journal.complete(self._held_out())
    self._journal.begin()
    while self.position < config.num_steps:
      if self.position in refresh_at:
        self._refresh()
      with self._clock.part("data"), self.departure.waiting_for_data():
        data = recipe.batches(self.position) if data is None else data
        batch = next(data)
      self._take(step, batch, mesh)
      last = self.position == config.num_steps
      logs = last or self.position == 1 or self.position % config.log_every == 0
      stops = self.departure.asked(agree=logs) and not last
      looks = self._looks() and not stops  # then it is the first thing of the next start
      if looks:
        self._settle(0)
        self._journal.beside(self._held_out())
      saves = stops or _due(self.position, config.checkpoint_every, last)
      if logs or looks or saves:  # whoever goes on from a save makes none of its lines again
        self._write_line()
      if saves:
        self._save(final=stops or last)
      if stops:
        self.departure.stop()
    self.end("finished")

  def _record_start(self, mesh: jax.sharding.Mesh, lines: Sequence[Mapping[str, Any]]) -> None:
    """Says where the run stands, and what has changed around it since it last ran."""
    if not hosts.is_first():
      return
    changes = workdirs.record_start(self._workdir, self._description, mesh, self.position, lines)
    if self.position:
      console.say(
        f"going on at step {self.position} of {self._config.num_steps} in {self._workdir}"
      )
    for change in changes:
      console.say(f"changed since the last start: {change}")

  def _take(self, step: Step, batch: Batch, mesh: jax.sharding.Mesh) -> None:
    """One step; the first one of a start is compiled."""
    compiling = "step" not in self._announced
    with (
      self._compiled("step", "compiling the training step", "20 to 60 s on a CPU"),
      # Nothing has been learned yet in this start.
      self.departure.lasting(saves=False) if compiling else contextlib.nullcontext(),
    ):
      self.state, measured = step(self.state, sharding.put_batch(batch, mesh), self.tables)
    self.position += 1
    self._in_flight.append((self.position, batch, measured))
    self._settle(_IN_FLIGHT)

  def _refresh(self) -> None:
    with self._clock.part("refresh"), self.departure.lasting(saves=True):
      tables, logged = state.refreshed(self._recipe.refresh_regions, self.state.params, self.tables)
    self.tables = tables
    self._journal.beside(logged)

  def _looks(self) -> bool:
    """Whether held-out donors are looked at after this step."""
    config, taken = self._config, self.position > 0
    due = _due(self.position, config.evaluate_every, self.position == config.num_steps)
    return self._recipe.evaluate is not None and taken and due

  def _held_out(self) -> dict[str, float]:
    with (
      self._compiled("evaluate", "compiling the evaluation of held-out donors", "5 to 20 s"),
      self.departure.lasting(saves=True),
    ):
      params, tables = sharding.on_this_process((self.state.params, self.tables))
      with hosts.first_alone() as first:  # whose metrics are written
        held_out = self._recipe.evaluate(params, tables) if first else {}
    return {f"{HELD_OUT}{name}": value for name, value in held_out.items()}

  @contextlib.contextmanager
  def _compiled(self, part: str, what: str, usually: str) -> Iterator[None]:
    """Counts time as `part`; the first time as "compile", which is announced."""
    if part in self._announced:
      with self._clock.part(part):
        yield
      return
    self._announced.add(part)
    with console.announced(what, usually), self._clock.part("compile"):
      yield

  def _settle(self, in_flight: int) -> None:
    """Waits until at most so many steps are under way; checks those that have finished."""
    while len(self._in_flight) > in_flight:
      position, batch, measured = self._in_flight.popleft()
      with self._clock.part("step"):
        measured = jax.device_get(measured)
      self._journal.add(measured)
      try:
        self._guard.look(position, batch, measured)
      except RunStopped:
        self.end("not finite")
        raise

  def _write_line(self) -> None:
    self._settle(0)
    self._journal.write(self.position)

  def save_now(self) -> None:
    """Writes the line and the checkpoint of the last step; returns when they are on disk."""
    if self._in_flight or self._journal.pending:
      self._write_line()
    self._save(final=True)

  def _save(self, final: bool) -> None:
    with self._clock.part("checkpoint"):
      self._checkpoints.save(self.state, self.regions(), self._description)
      if final:
        self._checkpoints.wait()
    workdirs.record(self._workdir, last_step=self.position, seconds=self._clock.shares())
    failed = hosts.most(self._checkpoints.failed_in_a_row)
    if failed >= MAX_FAILED_SAVES or (final and failed):
      self.end("cannot save")
      raise RunStopped(
        CANNOT_SAVE,
        f"hibio: {self._workdir}: {failed} checkpoint(s) in a row could not be written."
        " Fix: free space there, then run the same command again.",
      )

  def end(self, how: str) -> None:
    """Writes into `run.json` how this start ended, once its set-up is over."""
    if self._guard is None:
      return
    workdirs.record(
      self._workdir,
      ended=how,
      last_step=self.position,
      skipped=self._guard.skipped,
      alarms=self._journal.alarms,
      seconds=self._clock.shares(),
    )


@contextlib.contextmanager
def _sole_run(workdir: Path) -> Iterator[Callable[[], None]]:
  """The first process holds the work directory for all of them; a stop is told on the console."""
  try:
    if hosts.is_first():
      workdirs.prepare(workdir)
      with lock.held(workdir) as alive:
        yield alive
    else:
      yield lambda: None
  except RunStopped as stopped:
    console.say(stopped.message)
    raise


def _due(position: int, every: int, last: bool) -> bool:
  return every > 0 and (last or position % every == 0)
