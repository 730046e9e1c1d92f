"""The only loop. It never names an objective: those are data in the config and functions handed in.

Calling `train` again with the same arguments goes on from the newest whole checkpoint; the data
position is the step, so what is seen after a restart is what would have been seen without it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data_pipelines import console
from hibio.batch import Batch, Tables
from hibio.configs import ModelConfig, ObjectiveConfig, TrainingConfig, to_dict
from hibio.training import dump, lock, progress, refresh, sharding, stages, state
from hibio.training import workdir as workdirs
from hibio.training.alarms import Watch
from hibio.training.checkpoints import Checkpoints
from hibio.training.exits import CANNOT_SAVE, INTERRUPTED, NOT_FINITE, RunStopped
from hibio.training.interruption import Interruption
from hibio.training.metrics import MetricsWriter, mean_of
from hibio.training.metrics import read as read_metrics
from hibio.training.optimizer import Trained, make_optimizer
from hibio.training.step import Forward, Step, Total, make_train_step

Refresh = Callable[[Any, Tables], np.ndarray]
Evaluate = Callable[[Any, Tables], Mapping[str, float]]

MAX_SKIPPED_IN_A_ROW = 10
MAX_FAILED_SAVES = 3
_IN_FLIGHT = 2
"""Steps handed to the device ahead of their results: it never waits, and batches do not pile up."""


@dataclasses.dataclass(frozen=True)
class TrainResult:
  """A finished run.

  Attributes:
    params: of the model, laid out on the mesh.
    regions: region of each spot of the corpus at each level, as last refreshed.
    step: steps taken.
    skipped: those of them that changed nothing, as something was not finite.
  """

  params: Any
  regions: np.ndarray
  step: int
  skipped: int


def train(
  *,
  init: Callable[[], Any],
  forward: Forward,
  total: Total,
  batches: Callable[[int], Iterator[Batch]],
  tables: Tables,
  workdir: Path,
  config: TrainingConfig,
  model_config: ModelConfig,
  objective_config: ObjectiveConfig,
  panel: Any,
  corpus: Mapping[str, Any],
  refresh_regions: Refresh | None = None,
  evaluate: Evaluate | None = None,
  trained: Trained | None = None,
  more_config: Mapping[str, Any] | None = None,
  earlier_corpus: Mapping[str, Any] | None = None,
) -> TrainResult:
  """Trains to `config.num_steps`, from the start or from where the work directory stands.

  Args:
    init: the untrained parameters.
    forward: (params, batch, tables, key) -> outputs.
    total: (outputs, batch, tables, weights, key) -> (loss, metrics).
    batches: step -> the batches from that step on, without end; each process gives its own part.
    panel: the gene panel: `hash`, `ids`, `symbols` and `save(path)`.
    corpus: the corpus' manifest.
    refresh_regions: (params, tables) -> new regions of every spot of the corpus.
    evaluate: (params, tables) -> metrics of held-out donors, logged under "held_out/".
    trained: which parameters are; None for all of them.
    more_config: further parts of the config, written and compared like the others.
    earlier_corpus: what `init`'s parameters were trained on before, as their checkpoint says.

  Raises:
    BadInputError: a config that cannot work, or a work directory that belongs to another run.
    RunStopped: status 73 for a work directory in use, 74 where checkpoints cannot be written, 75
      after a request to stop (saved), 76 after too many steps that were not finite.
  """
  workdir = Path(workdir)
  mesh = sharding.make_mesh(config.mesh)
  sharding.check_divisible(config.windows_per_batch, mesh)
  weights = dict(objective_config.weights)
  stages.objective_weights(0, config, weights)  # refuses what cannot work before compiling
  description = workdirs.describe(
    {
      "model": to_dict(model_config),
      "objectives": to_dict(objective_config) | {"weights": weights},
      "training": to_dict(config),
      **(more_config or {}),
    },
    panel,
    corpus,
    earlier_corpus,
  )
  optimizer = make_optimizer(config, trained)
  with _sole_run(workdir) as alive, Interruption() as interruption:
    if _is_first():
      workdirs.claim(workdir, description, panel)
      workdirs.save_tables(workdir, corpus["gene_sets"]["names"], tables)
    with contextlib.closing(Checkpoints(workdir, config.keep_checkpoints, _say)) as checkpoints:
      layout = state.abstract(jax.eval_shape(init), optimizer, mesh)
      restored = checkpoints.restore(layout, np.asarray(tables.regions))
      if restored is None:
        begin = state.create(init(), optimizer, mesh)
      else:
        workdirs.check_same(workdir, restored.meta, description)
        begin, tables = restored.state, tables.replace(regions=restored.regions)
      run = _Run(
        begin, sharding.replicate(tables, mesh), config, workdir, checkpoints, description, alive
      )
      run.record_start(mesh)
      step = make_train_step(
        forward=forward,
        total=total,
        optimizer=optimizer,
        base_weights=weights,
        config=config,
        mesh=mesh,
        state=layout,
      )
      put = lambda batch: sharding.put_batch(batch, mesh)  # noqa: E731
      run.steps(step, put, batches, refresh_regions, evaluate, interruption)
  return TrainResult(run.state.params, run.regions(), int(run.state.step), int(run.state.skipped))


class _Run:
  """The moving parts of one start of a run."""

  def __init__(
    self,
    begin: state.TrainState,
    tables: Tables,
    config: TrainingConfig,
    workdir: Path,
    checkpoints: Checkpoints,
    description: Mapping[str, Any],
    alive: Callable[[], None],
  ):
    self.state, self.tables = begin, tables
    self._config, self._workdir, self._description = config, workdir, description
    self._checkpoints, self._alive = checkpoints, alive
    self._position = int(begin.step)
    self._clock = progress.Stopwatch()
    self._writer = MetricsWriter(workdir, self._position) if _is_first() else None
    self._watch = Watch(config.num_steps, read_metrics(workdir) if _is_first() else ())
    self._in_flight: deque = deque()
    self._since_line: list[dict[str, np.ndarray]] = []  # metrics of the steps since the last line
    self._pairs = 0
    self._beside: dict[str, Any] = {}  # for the next line
    self._lap = self._clock.lap()

  def regions(self) -> np.ndarray:
    return np.asarray(self.tables.regions)

  def record_start(self, mesh: jax.sharding.Mesh) -> None:
    """Says where the run stands, and what has changed around it since it last ran."""
    if not _is_first():
      return
    changes = workdirs.record_start(self._workdir, self._description, mesh, self._position)
    if self._position:
      _say(f"going on at step {self._position} of {self._config.num_steps} in {self._workdir}")
    for change in changes:
      _say(f"changed since the last start: {change}")

  def steps(
    self,
    step: Step,
    put: Callable[[Batch], Batch],
    batches: Callable[[int], Iterator[Batch]],
    refresh_regions: Refresh | None,
    evaluate: Evaluate | None,
    interruption: Interruption,
  ) -> None:
    """Takes the steps that are left."""
    config, data = self._config, None
    refresh_at = stages.refresh_steps(config) if refresh_regions else ()
    while self._position < config.num_steps:
      if self._position in refresh_at:
        with self._clock.part("refresh"):
          self.tables, logged = refresh.refreshed(refresh_regions, self.state.params, self.tables)
        self._beside |= logged
      with self._clock.part("data"):
        data = batches(self._position) if data is None else data
        batch = next(data)
      with self._clock.part("step" if self._in_flight or self._since_line else "compile"):
        self.state, metrics = step(self.state, put(batch), self.tables)
      self._position += 1
      self._in_flight.append((self._position, batch, metrics))
      self._settle(_IN_FLIGHT)

      last = self._position == config.num_steps
      logs = last or self._position == 1 or self._position % config.log_every == 0
      stops = interruption.asked(agree=logs) and not last
      if evaluate and not stops and _due(self._position, config.evaluate_every, last):
        self._settle(0)
        with self._clock.part("evaluate"):
          held_out = evaluate(sharding.on_this_process(self.state.params), self.tables)
        self._beside |= {f"held_out/{name}": value for name, value in held_out.items()}
      if logs or stops or any(name.startswith("held_out/") for name in self._beside):
        self._write_line()
      if stops or _due(self._position, config.checkpoint_every, last):
        self._save(final=stops or last)
      if stops:
        self._end("interrupted")
        raise RunStopped(
          INTERRUPTED,
          f"hibio: {self._workdir}: {interruption.name or 'another process'} stopped it at step"
          f" {self._position}, which is saved. Run the same command again to go on.",
        )
    self._end("finished")

  def _settle(self, in_flight: int) -> None:
    """Waits until at most so many steps are under way, and looks at those that have finished."""
    while len(self._in_flight) > in_flight:
      position, batch, metrics = self._in_flight.popleft()
      metrics = jax.device_get(metrics)
      self._since_line.append(metrics)
      real = np.asarray(batch.spot_mask) & batch.has_patch & batch.has_counts
      self._pairs += int(real.sum()) * jax.process_count()
      if metrics["skipped_in_a_row"] >= MAX_SKIPPED_IN_A_ROW:
        path = dump.write(self._workdir, position, batch, metrics)
        self._end("not finite")
        raise RunStopped(
          NOT_FINITE,
          f"hibio: {self._workdir}: {MAX_SKIPPED_IN_A_ROW} steps in a row, up to step {position},"
          f" gave a loss or a gradient that is not finite; none was accepted. The last one's spots:"
          f" {path}. Fix: lower --config.training.learning_rate, or look at those spots.",
        )

  def _write_line(self) -> None:
    self._settle(0)
    lap, self._lap = self._clock.lap(self._lap), self._clock.lap()
    working = max(lap.seconds - lap.outside("data", "step"), 1e-9)
    steps = len(self._since_line)
    values = {
      "stage": stages.stage_at(self._position - 1, self._config).name,
      **mean_of(self._since_line),
      **{name: self._since_line[-1][name] for name in ("skipped", "skipped_in_a_row")},
      "pairs_per_second": self._pairs / working,
      "seconds": self._clock.seconds,
      "data_wait_share": lap.parts.get("data", 0.0) / working,
      **self._beside,
    }
    self._since_line, self._pairs, self._beside = [], 0, {}
    if self._writer is not None:
      self._alive()
      ringing, warnings = self._watch.look({"step": self._position} | values)
      self._writer.write(self._position, values | ({"alarms": ringing} if ringing else {}))
      left = (self._config.num_steps - self._position) * working / steps
      _say(progress.line(self._position, self._config.num_steps, values, left))
      for warning in warnings:
        _say(warning)

  def _save(self, final: bool) -> None:
    with self._clock.part("checkpoint"):
      self._checkpoints.save(self.state, self.regions(), self._description)
      if final:
        self._checkpoints.wait()
    failed = self._checkpoints.failed_in_a_row
    if failed >= MAX_FAILED_SAVES or (final and failed):
      self._end("cannot save")
      raise RunStopped(
        CANNOT_SAVE,
        f"hibio: {self._workdir}: {failed} checkpoint(s) in a row could not be written."
        " Fix: free space there, then run the same command again.",
      )

  def _end(self, how: str) -> None:
    if _is_first():
      seconds = {name: round(value, 3) for name, value in self._clock.parts.items()}
      seconds["all"] = round(self._clock.seconds, 3)
      workdirs.record_end(
        self._workdir,
        ended=how,
        last_step=self._position,
        skipped=int(self.state.skipped),
        alarms=self._watch.begun,
        seconds=seconds,
      )


@contextlib.contextmanager
def _sole_run(workdir: Path) -> Iterator[Callable[[], None]]:
  """The first process holds the work directory for all of them; a stop is told on the console."""
  try:
    if _is_first():
      workdirs.prepare(workdir)
      with lock.held(workdir) as alive:
        yield alive
    else:
      yield lambda: None
  except RunStopped as stopped:
    _say(stopped.message)
    raise


def _due(position: int, every: int, last: bool) -> bool:
  return every > 0 and (last or position % every == 0)


def _is_first() -> bool:
  return jax.process_index() == 0


def _say(text: str) -> None:
  if _is_first():
    console.say(text)
