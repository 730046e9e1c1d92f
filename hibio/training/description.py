"""What a run is made of: the part of every checkpoint that says how to build and read it again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data_pipelines.problems import BadInputError

MAY_CHANGE = (
  *(
    f"config.training.{name}"
    for name in (
      "mesh",
      "log_every",
      "evaluate_every",
      "checkpoint_every",
      "keep_checkpoints",
      "data_patience",
    )
  ),
  "config.source.workdir",
)
"""Keys that may have another value when a run is resumed: they do not change what is learned."""

_MORE_STEPS = (
  "; to train a finished run further: hibio finetune --config=experiments/finetuning.py:continue "
  "--checkpoint=WORKDIR"
)

_COMPARED = ("config", "panel", "corpus", "reading")


def describe(
  config: Mapping[str, Any],
  panel: Any,
  corpus: Mapping[str, Any],
  earlier_corpus: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
  """What belongs to every checkpoint: enough to build the model again and to read a corpus for it.

  Args:
    config: plain values of the dataclasses, under "model", "objectives" and "training".
    panel: the gene panel: `hash`, `ids` and `symbols`.
    corpus: the corpus' manifest, its "fingerprint", and "features" where they are read in place of
      patches: what their encoder says of itself.
    earlier_corpus: "corpus" of the checkpoint that training began from: its training donors stay
      training donors, whoever is trained on now.
  """
  fields = ("section_id", "donor_id", "patient", "content", "split", "pitch_um")
  here = {
    "fingerprint": corpus["fingerprint"],
    "splits": corpus["splits"],
    # So that a copy of a section is known again under another name.
    "sections": [{name: one[name] for name in fields if name in one} for one in corpus["sections"]],
  }
  return {
    "format": "hibio-checkpoint",
    "version": 1,
    "config": json.loads(json.dumps(config)),
    "panel": {"hash": panel.hash, "ids": list(panel.ids), "symbols": list(panel.symbols)},
    "corpus": here if earlier_corpus is None else with_earlier(here, earlier_corpus),
    "reading": {
      **{name: corpus[name] for name in ("patch", "window_spots")},
      "features": corpus.get("features"),
    },
  }


def with_earlier(corpus: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
  """The corpus' description, with what was trained on before among what is trained on now."""
  train = [*corpus["splits"]["train"], *earlier["splits"]["train"]]
  before = [one for one in earlier["sections"] if one["split"] == "train"]
  return {
    **corpus,
    "splits": {**corpus["splits"], "train": list(dict.fromkeys(train))},
    "sections": [*corpus["sections"], *(s for s in before if s not in corpus["sections"])],
  }


def check_same(where: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
  """Compares two descriptions of a run, in the parts that the old one has.

  Raises:
    BadInputError: names the first key that differs, with both values.
  """
  before, now = (
    dict(flat({name: _compared(of[name]) for name in _COMPARED if name in old}))
    for of in (old, new)
  )
  for key in [*before, *(key for key in now if key not in before)]:
    if before.get(key) != now.get(key) and not key.startswith(MAY_CHANGE):
      raise BadInputError(
        where,
        key.removeprefix("config."),
        f"{_shown(now, key)} asked for",
        f"{_shown(before, key)}, which the run in this work directory began with",
        "set it back to go on, or give another --config.workdir for a new run"
        + (_MORE_STEPS if key == "config.training.num_steps" else ""),
      )


def flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
  """Leaves of nested dictionaries and lists, with dotted names."""
  if isinstance(value, Mapping):
    items = value.items()
  elif isinstance(value, (list, tuple)) and value:
    items = enumerate(value)
  else:
    yield key, value
    return
  for name, inner in items:
    yield from flat(inner, f"{key}.{name}" if key else str(name))


def _compared(part: Mapping[str, Any]) -> Mapping[str, Any]:
  """Of a panel the hash alone: a difference in thousands of genes has no first key to show."""
  return {"hash": part["hash"]} if "hash" in part else part


def _shown(values: Mapping[str, Any], key: str) -> str:
  return repr(values[key]) if key in values else "nothing"
