"""What a work directory says of its run: config, panel, corpus, versions, every start of it.

  config.json   model, objectives, training
  panel.tsv     the gene panel
  run.json      corpus, package versions, devices, and one entry for each start
  corpus.npz    gene sets and the background of genes, without which no new section can be read

A run goes on only with what it began with.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import socket
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data_pipelines import files
from data_pipelines.problems import BadInputError
from hibio.batch import Tables

CONFIG, PANEL, RUN, TABLES = "config.json", "panel.tsv", "run.json", "corpus.npz"

MAY_CHANGE = (
  *(
    f"config.training.{name}"
    for name in ("mesh", "log_every", "evaluate_every", "checkpoint_every", "keep_checkpoints")
  ),
  "config.source.workdir",
)
"""Keys that a run may be continued with another value of: they do not change what is learned."""

_BACKGROUND = ("document_share", "mean_fraction", "spatial")
"""Fields of `hibio.batch.SectionStatistics` after "corpus_"."""

WRITE_TABLES_AGAIN = (
  "run the command of the pretraining once more, with the version it was trained with: it only"
  " writes this file"
)


def prepare(workdir: Path) -> None:
  """Makes the folder and tries to write in it, before anything slow begins.

  Raises:
    BadInputError: it cannot be written in.
  """
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    probe = workdir / f".probe-{os.getpid()}"
    probe.write_text("hibio")
    probe.unlink()
  except OSError as error:
    raise BadInputError(
      workdir,
      "work directory",
      f"no way to write there ({error.strerror or error})",
      "a folder that can be written in",
      "give another --config.workdir, or free space there",
    ) from error


def corpus_fingerprint(corpus: Mapping[str, Any]) -> str:
  """16 hexadecimal digits that change if a shard, the panel, a gene set or a split does.

  The same number as `data_pipelines.loading.corpus.Corpus.fingerprint`.
  """
  content = {
    "sections": [[s["section_id"], s["donor_id"], s["shards"]] for s in corpus["sections"]],
    "panel": corpus["panel"]["hash"],
    "gene_sets": corpus["gene_sets"],
    "splits": corpus["splits"],
  }
  return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def describe(
  config: Mapping[str, Any],
  panel: Any,
  corpus: Mapping[str, Any],
  earlier_corpus: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
  """What belongs to every checkpoint: enough to build the model again and to read a corpus for it.

  `sections` says what was trained on, so that a copy of it is known again under another name.

  Args:
    config: plain values of the dataclasses, under "model", "objectives" and "training".
    earlier_corpus: "corpus" of the checkpoint that training began from: its training donors stay
      training donors, whoever is trained on now.
  """
  here = {
    "fingerprint": corpus_fingerprint(corpus),
    "splits": corpus["splits"],
    "sections": [
      {name: section.get(name) for name in ("section_id", "donor_id", "content", "split")}
      for section in corpus["sections"]
    ],
  }
  return {
    "format": "hibio-checkpoint",
    "version": 1,
    "config": json.loads(json.dumps(config)),
    "panel": {"hash": panel.hash, "ids": list(panel.ids), "symbols": list(panel.symbols)},
    "corpus": here if earlier_corpus is None else _with_earlier(here, earlier_corpus),
    # Not under "corpus", which older runs are compared with when they go on.
    "reading": {name: corpus[name] for name in ("patch", "window_spots") if name in corpus},
  }


def _with_earlier(corpus: dict[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
  """The corpus' description, with what was trained on before among what is trained on now."""
  splits = corpus["splits"]
  train = [*splits["train"], *earlier["splits"]["train"]]
  joined = {**corpus, "splits": {**splits, "train": list(dict.fromkeys(train))}}
  if "sections" in corpus:
    before = [one for one in earlier.get("sections", ()) if one["split"] == "train"]
    joined["sections"] = [*corpus["sections"], *(s for s in before if s not in corpus["sections"])]
  return joined


def claim(workdir: Path, description: Mapping[str, Any], panel: Any) -> None:
  """Writes what the run is made of; where that is written already, compares.

  Raises:
    BadInputError: the work directory belongs to another config, panel or corpus; names the first
      difference.
  """
  path, run = workdir / CONFIG, workdir / RUN
  if path.exists():
    check_same(path, {"config": _read(path)}, description)
  if run.exists():
    record = _read(run)
    check_same(run, {name: record[name] for name in ("panel", "corpus")}, description)
  _write(path, description["config"])
  panel.save(workdir / PANEL)


def save_tables(workdir: Path, names: Sequence[str], tables: Tables) -> None:
  """Writes what a new section is read with, beside the checkpoints.

  Args:
    names: of the gene sets.
  """
  pathway, gene = np.nonzero(np.asarray(tables.membership))
  path = workdir / TABLES
  with files.appearing(path) as partial, partial.open("wb") as file:
    np.savez_compressed(
      file,
      names=np.array(list(names), dtype=str),
      pathway=pathway,
      gene=gene,
      **{n: np.asarray(getattr(tables.statistics, f"corpus_{n}")) for n in _BACKGROUND},
    )


def saved_tables(workdir: Path) -> dict[str, np.ndarray]:
  """What `save_tables` wrote; empty where there is nothing, as runs of earlier versions left none.

  Raises:
    BadInputError: the file is damaged.
  """
  path = workdir / TABLES
  if not path.is_file():
    return {}
  try:
    with path.open("rb") as file, np.load(file) as arrays:
      return {name: arrays[name] for name in arrays.files}
  except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
    raise BadInputError(
      path, "content", f"damaged ({error})", "what pretraining wrote", WRITE_TABLES_AGAIN
    ) from error


def background(workdir: Path) -> dict[str, np.ndarray]:
  """What a run took for granted of each gene: fields of `hibio.batch.SectionStatistics`.

  Empty where it does not say; runs of earlier versions do not know how patterned genes are.
  """
  found = saved_tables(workdir)
  return {f"corpus_{name}": found[name] for name in _BACKGROUND if name in found}


def gene_set_names(workdir: Path) -> tuple[str, ...] | None:
  """Names of the gene sets of a run, in the order of its anchors; None where it does not say."""
  found = saved_tables(workdir)
  return tuple(found["names"].tolist()) if found else None


def check_same(where: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
  """Compares two descriptions of a run, as far as the old one says something.

  A run that began before the corpus was described by its sections goes on all the same: the
  fingerprint covers them.

  Raises:
    BadInputError: names the first key that differs, with both values.
  """
  ours = {"config": new["config"], "panel": {"hash": new["panel"]["hash"]}, "corpus": new["corpus"]}
  theirs = {name: old[name] for name in ours if name in old}
  if "panel" in theirs:
    theirs["panel"] = {"hash": old["panel"]["hash"]}
  if "corpus" in theirs:
    ours["corpus"] = {name: ours["corpus"].get(name) for name in theirs["corpus"]}
  before, now = dict(_flat(theirs)), dict(_flat({name: ours[name] for name in theirs}))
  for key in [*before, *(key for key in now if key not in before)]:
    if before.get(key) != now.get(key) and not key.startswith(MAY_CHANGE):
      raise BadInputError(
        where,
        key.removeprefix("config."),
        f"{_shown(now, key)} asked for",
        f"{_shown(before, key)}, which the run in this work directory began with",
        "set it back to go on, or give another --config.workdir for a new run",
      )


def record_start(workdir: Path, description: Mapping[str, Any], mesh: Any, step: int) -> list[str]:
  """Adds this start to `run.json`; what has changed since the last one, in words."""
  path = workdir / RUN
  record = _read(path) if path.exists() else {"history": []}
  entry = {
    "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    "host": socket.gethostname(),
    "pid": os.getpid(),
    "step": step,
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
    last = dict(_flat({k: record["history"][-1][k] for k in ("versions", "devices")}))
    now = dict(_flat({k: entry[k] for k in ("versions", "devices")}))
    changes = [f"{k}: {last.get(k)} -> {now[k]}" for k in now if now[k] != last.get(k)]
  record |= {
    "corpus": description["corpus"],
    "panel": {"hash": description["panel"]["hash"]},
    "history": [*record["history"], entry],
  }
  _write(path, record)
  return changes


def record_end(workdir: Path, **values: Any) -> None:
  """Adds to the last entry of `run.json` how that start went."""
  record = _read(workdir / RUN)
  record["history"][-1] |= values
  _write(workdir / RUN, record)


def _shown(values: Mapping[str, Any], key: str) -> str:
  return repr(values[key]) if key in values else "nothing"


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
  """Leaves of nested dictionaries and lists, with dotted names."""
  if isinstance(value, Mapping):
    items = value.items()
  elif isinstance(value, (list, tuple)) and value:
    items = enumerate(value)
  else:
    yield key, value
    return
  for name, inner in items:
    yield from _flat(inner, f"{key}.{name}" if key else str(name))


def _read(path: Path) -> dict:
  try:
    return json.loads(path.read_text())
  except ValueError as error:
    raise BadInputError(
      path, "JSON", str(error), "what an earlier run wrote", "give another --config.workdir"
    ) from error


def _write(path: Path, content: Mapping) -> None:
  files.write_text(path, json.dumps(content, indent=1, allow_nan=False))
