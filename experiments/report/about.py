"""Where a report's numbers come from: the command, the model, the corpus, the packages."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

from data_pipelines.loading.corpus import Corpus
from hibio.keywords import called
from hibio.pretrained import Pretrained
from hibio.training import metrics
from hibio.training.alarms import first_steps

_PACKAGES = (
  "jax", "jaxlib", "flax", "numpy", "scipy", "scikit-learn", "pandas", "anndata", "matplotlib",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class About:
  """The provenance of a report.

  Attributes:
    command: that made it.
    date: when, in ISO 8601.
    checkpoint: `Pretrained.describe()`: step, num_parameters, config, panel_hash, corpus.
    corpus: name of the corpus scored on.
    fingerprint: of that corpus.
    splits: its donors: train, validation, test.
    sections: one dictionary a section; its keys are the columns of a table.
    versions: package -> version.
    alarms: what went wrong in training, by name -> step at which it began.
    leaks: reasons why a figure may be no figure of unseen tissue, each in a sentence.
  """

  command: str
  date: str
  checkpoint: Mapping[str, Any]
  corpus: str
  fingerprint: str
  splits: Mapping[str, Sequence[str]]
  sections: Sequence[Mapping[str, Any]] = ()
  versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
  alarms: Mapping[str, int] = dataclasses.field(default_factory=dict)
  leaks: Sequence[str] = ()

  @property
  def model_methods(self) -> tuple[str, ...]:
    """Methods that stand for the model by another name: the keyword score it was trained with."""
    try:
      config = self.checkpoint["config"]["model"]["keywords"]
      return (called(config["score"], config.get("spatial_power", 0.0)),)
    except (KeyError, TypeError):
      return ()


def of(model: Pretrained, corpus: Corpus, command: str, leaks: Sequence[str] = ()) -> About:
  """What there is to say of a checkpoint scored on a corpus now."""
  return About(
    command=command,
    date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    checkpoint=model.describe(),
    corpus=corpus.name,
    fingerprint=corpus.fingerprint,
    splits=corpus.manifest["splits"],
    sections=tuple(_section(entry) for entry in corpus.manifest["sections"]),
    versions={name: importlib.metadata.version(name) for name in _PACKAGES},
    alarms=first_steps(metrics.read(model.workdir)),
    leaks=tuple(leaks),
  )


def _section(entry: Mapping[str, Any]) -> dict[str, Any]:
  """A line of the table of sections."""
  return {
    "section": entry["section_id"],
    "donor": entry["donor_id"],
    "split": entry["split"],
    "platform": entry["platform"],
    "species": entry["species"],
    "spots": entry["num_spots"],
    "genes measured": entry["num_measured"],
    "um per px": f"{entry['um_per_px']:.3g}" if entry.get("um_per_px") else "-",
    "H&E": "yes" if entry["has_image"] else "no",
  }
