"""What a work directory says of its run, beside checkpoints and metrics.

  config.json   model, objectives, training
  panel.tsv     the gene panel
  run.json      corpus, package versions, devices, and one entry for each start
  corpus.npz    gene sets and the background of genes (see `hibio.training.tables`)

A run is resumed only with what it began with. Each checkpoint says that as well: a file of these
that has changed since it was written is set aside and written anew.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from data_pipelines import console, files
from data_pipelines.problems import BadInputError, file_of
from hibio.training.checkpoints import FOLDER
from hibio.training.description import check_same, flat

CONFIG, PANEL, RUN = "config.json", "panel.tsv", "run.json"


def prepare(workdir: Path) -> None:
  """Makes the folders and tries to write in them, before anything slow begins.

  Raises:
    BadInputError: one of them cannot be written in.
  """
  for folder in (workdir, workdir / FOLDER):
    with written_in(folder):
      folder.mkdir(parents=True, exist_ok=True)
      probe = folder / f".probe-{os.getpid()}"
      probe.write_text("hibio")
      probe.unlink()


@contextlib.contextmanager
def written_in(folder: Path) -> Iterator[None]:
  """What is written inside either can be, or there is one clear line about the folder.

  Raises:
    BadInputError: it cannot.
  """
  try:
    yield
  except OSError as error:
    raise BadInputError(
      file_of(error) or folder, "work directory",
      f"no way to write there ({error.strerror or error})",
      "a folder that can be written in",
      "give another --config.workdir, or free space there and move away what is not of the run",
    ) from error  # fmt: skip


def refuse_other_corpus(workdir: Path, panel_hash: str, corpus: str | os.PathLike) -> None:
  """Tells of a run on another corpus before anything slow, such as reading slides, begins.

  Raises:
    BadInputError: the run in this work directory began with other genes.
  """
  try:
    run = read(workdir)
  except BadInputError:  # none, or one that is written anew
    return
  if run["panel"]["hash"] != panel_hash:
    names = [one["section_id"] for one in run["corpus"]["sections"]]
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    raise BadInputError(
      workdir,
      "corpus",
      f"a run on a corpus of other genes ({len(names)} sections: {shown})",
      f"a run on {os.fspath(corpus)}",
      "give another --config.workdir for a new run, or that run's own --config.corpus",
    )


def claim(workdir: Path, description: Mapping[str, Any], panel: Any) -> None:
  """Writes what the run is made of; where that is written already, compares.

  Raises:
    BadInputError: the work directory belongs to another config, panel or corpus; names the first
      difference.
  """
  path, run = workdir / CONFIG, workdir / RUN
  if (config := _kept(path)) is not None:
    check_same(path, {"config": config}, description)
  if (record := _kept(run)) is not None:
    check_same(run, {name: record[name] for name in ("panel", "corpus")}, description)
  _write(path, description["config"])
  panel.save(workdir / PANEL)


def record_start(
  workdir: Path,
  description: Mapping[str, Any],
  mesh: Any,
  step: int,
  lines: Sequence[Mapping[str, Any]] = (),
) -> list[str]:
  """Adds this start to `run.json`; what has changed since the last one, in words.

  Args:
    lines: of `metrics.jsonl` as the last start left it; those after `step` are work that was lost.
  """
  path = workdir / RUN
  record = _kept(path) or {"history": []}
  entry = {
    "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    "host": socket.gethostname(),
    "pid": os.getpid(),
    "step": step,
    "lost": lost(lines, step),
    "versions": files.versions(),
    "devices": {
      "kind": jax.devices()[0].device_kind,
      "count": jax.device_count(),
      "processes": jax.process_count(),
      "mesh": dict(mesh.shape),
    },
  }
  changes = []
  if record["history"]:
    last = dict(flat({k: record["history"][-1][k] for k in ("versions", "devices")}))
    now = dict(flat({k: entry[k] for k in ("versions", "devices")}))
    changes = [f"{k}: {last.get(k)} -> {now[k]}" for k in now if now[k] != last.get(k)]
  record |= {
    "corpus": description["corpus"],
    "panel": {"hash": description["panel"]["hash"]},
    "history": [*record["history"], entry],
  }
  _write(path, record)
  return changes


def record(workdir: Path, **values: Any) -> None:
  """Adds to this start's entry of `run.json` how it goes; the first process alone writes.

  A disk that is full, or a file that somebody deleted, does not end a run.
  """
  if jax.process_index() != 0:
    return
  try:
    content = read(workdir)
    if content["history"][-1]["pid"] == os.getpid():  # else another run has begun here since
      content["history"][-1] |= values
      _write(workdir / RUN, content)
  except (OSError, ValueError, LookupError) as error:
    console.say(f"hibio: warning: {workdir / RUN}: not written ({error})")


def read(workdir: Path) -> dict[str, Any]:
  """What `run.json` says.

  Raises:
    BadInputError: there is none, or it is damaged.
  """
  return _there(workdir / RUN)


def config(workdir: Path) -> dict[str, Any]:
  """What `config.json` says.

  Raises:
    BadInputError: there is none, or it is damaged.
  """
  return _there(workdir / CONFIG)


def _there(path: Path) -> dict[str, Any]:
  if not path.is_file():
    raise BadInputError(
      path, "file", "none", "a work directory of training", "give the folder of a run"
    )
  return _read(path)


def lost(lines: Sequence[Mapping[str, Any]], step: int) -> dict[str, float | int]:
  """Steps of `metrics.jsonl` that are lost where the run goes on at `step`, and their seconds."""
  gone = [line for line in lines if line["step"] > step]
  seconds = sum(line.get("seconds") or 0.0 for line in gone)
  return {"steps": gone[-1]["step"] - step if gone else 0, "seconds": round(seconds, 3)}


def _kept(path: Path) -> dict[str, Any] | None:
  """What an earlier start wrote there; None where there is nothing that can be believed."""
  if not path.exists():
    return None
  try:
    return _read(path)
  except BadInputError as problem:
    aside = path.replace(path.with_name(f"damaged-{path.name}"))
    console.say(f"hibio: {path}: {problem.found}; set aside as {aside.name} and written anew")
    return None


def _read(path: Path) -> dict[str, Any]:
  try:
    return files.unsealed(path.read_bytes())
  except ValueError as error:
    raise BadInputError(
      path, "content", f"a file that has changed since it was written ({error})",
      "what training wrote", "run the command of the training again: it writes this file anew",
    ) from error  # fmt: skip


def _write(path: Path, content: Mapping[str, Any]) -> None:
  files.write_bytes(path, files.sealed(content))
