"""Where a report's numbers come from: the command, the model, the corpus, the packages."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from data_pipelines.console import counted
from data_pipelines.files import versions, write_text
from data_pipelines.loading.corpus import Corpus
from hibio.evaluation.rows import Row
from hibio.pretrained import Pretrained
from hibio.report import canvas, vocabulary
from hibio.report.canvas import Canvas
from hibio.report.curves import drawn_curves
from hibio.report.exhibits import Exhibits
from hibio.report.headlines import compared, title_of
from hibio.report.summary import summary_view
from hibio.report.verdicts import RULE
from hibio.report.views import task_views, tissue_views
from hibio.training import metrics
from hibio.training.alarms import first_steps


@dataclasses.dataclass(frozen=True)
class About:
  """The provenance of a report.

  Attributes:
    command: that made it.
    date: when, in ISO 8601.
    checkpoint: `Pretrained.describe()`: step, num_parameters, config, panel_hash, corpus; empty for
      features that were scored without one.
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


def of(model: Pretrained | None, corpus: Corpus, command: str, leaks: Sequence[str] = ()) -> About:
  """What there is to say of a checkpoint, or of features without one, scored on a corpus now."""
  return About(
    command=command,
    date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    checkpoint=model.describe() if model else {},
    corpus=corpus.name,
    fingerprint=corpus.fingerprint,
    splits=corpus.manifest["splits"],
    sections=tuple(_section(entry) for entry in corpus.manifest["sections"]),
    versions=versions(),
    alarms=first_steps(metrics.read(model.workdir)) if model else {},
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
    "µm per px": f"{entry['um_per_px']:.3g}" if entry.get("um_per_px") else "-",
    "H&E": "yes" if entry["has_image"] else "no",
  }


_HERE = Path(__file__).parent


def html(rows: Sequence[Row], exhibits: Exhibits, about: About) -> str:
  """The whole page.

  Args:
    rows: results, in the order in which they should stand.
    exhibits: what is shown beside them; empty exhibits give a page of numbers.
    about: where they come from.
  """
  script = (_HERE / "page.js").read_text()
  css = (_HERE / "page.css").read_text() + f":root {{ --gradient: {canvas.gradient()} }}\n"
  canvases = [Canvas(tissue) for tissue in exhibits.tissues]
  tasks = task_views(rows, exhibits, canvases)
  return _engine().get_template("page.html").render(
    about=about,
    facts=_facts(about),
    held_out=_held_out(about),
    summary=summary_view(rows, {task.task: task.id for task in tasks}),
    tasks=tasks,
    tissues=tissue_views(canvases),
    curves=drawn_curves(exhibits.curves) if exhibits.curves else None,
    compared=compared(rows),
    subject=title_of(rows),
    rule=RULE,
    config=json.dumps(about.checkpoint.get("config", {}), indent=1),
    css=Markup(css),
    script=Markup(script),
    policy=_policy(script),
  )  # fmt: skip


def write(rows: Sequence[Row], exhibits: Exhibits, about: About, path: Path) -> Path:
  """Writes the page; a reader never meets half of one."""
  write_text(path, html(rows, exhibits, about))
  return path


def _engine() -> jinja2.Environment:
  engine = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_HERE),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
  )
  engine.globals.update(
    counted=counted,
    in_words=vocabulary.seen_in_words,
    explain=vocabulary.protocol_explained,
  )
  return engine


def _policy(script: str) -> str:
  digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
  return (
    f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
  )


def _facts(about: About) -> list[tuple[str, Any]]:
  return [
    *(_of_checkpoint(about.checkpoint) if about.checkpoint else [("checkpoint", "none")]),
    ("held-out donors", ", ".join(about.splits.get("test", ())) or "none"),
    ("corpus fingerprint", about.fingerprint),
    *_alarms(about),
    ("made", about.date.replace("T", " ").replace("+00:00", " UTC")),
  ]


def _of_checkpoint(checkpoint: Mapping[str, Any]) -> list[tuple[str, Any]]:
  parameters = checkpoint.get("num_parameters")
  return [
    ("checkpoint", f"step {checkpoint.get('step', '?'):,}" if "step" in checkpoint else "?"),
    ("parameters", _parameters(parameters) if parameters else "?"),
    ("trained on", (checkpoint.get("corpus") or {}).get("name") or _donors(checkpoint)),
  ]


def _alarms(about: About) -> list[tuple[str, str]]:
  said = ", ".join(f"{name} from step {step}" for name, step in about.alarms.items())
  return [("alarms in training", said)] if said else []


def _donors(checkpoint) -> str:
  donors = ((checkpoint.get("corpus") or {}).get("splits") or {}).get("train", ())
  return "donors " + ", ".join(donors) if donors else "?"


def _held_out(about: About) -> str:
  sections = [one for one in about.sections if one.get("split") == "test"]
  spots = sum(one.get("spots", 0) for one in sections)
  words = [counted(len(about.splits.get("test", ())), "donors")]
  words += [counted(len(sections), "sections"), counted(spots, "spots")] if sections else []
  return ", ".join(words)


def _parameters(count: int) -> str:
  return f"{count / 1e6:.2f} million" if count >= 1e6 else f"{count:,}"
