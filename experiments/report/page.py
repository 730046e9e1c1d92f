"""Rows and exhibits -> one HTML page that carries everything inside itself.

Every string that comes from data is escaped by the template engine. Should one slip through, the
page's content security policy forbids every request and every script but ours.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from data_pipelines.preparation.manifest import write_text
from experiments.report import palettes, vocabulary
from experiments.report.about import About
from experiments.report.exhibits import Exhibits
from experiments.report.map_views import tissue_views
from experiments.report.methods import seen_in_words
from experiments.report.panels import Canvas
from experiments.report.summary_view import summary_view
from experiments.report.training_curves import drawn_curves
from experiments.report.verdict import RULE
from experiments.report.views import task_views
from hibio.tasks.rows import Row

_HERE = Path(__file__).parent


def html(rows: Sequence[Row], exhibits: Exhibits, about: About) -> str:
  """The whole page.

  Args:
    rows: results, in the order in which they should stand.
    exhibits: what is shown beside them; empty exhibits give a page of numbers.
    about: where they come from.
  """
  script = (_HERE / "page.js").read_text()
  css = (_HERE / "page.css").read_text() + f":root {{ --gradient: {palettes.gradient()} }}\n"
  canvases = [Canvas(tissue) for tissue in exhibits.tissues]
  tasks = task_views(rows, exhibits, canvases, about.model_methods)
  return _engine().get_template("page.html").render(
    about=about,
    facts=_facts(about),
    held_out=_held_out(about),
    summary=summary_view(rows, about.model_methods, {task.task: task.id for task in tasks}),
    tasks=tasks,
    tissues=tissue_views(canvases),
    curves=drawn_curves(exhibits.curves) if exhibits.curves else None,
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
    in_words=seen_in_words,
    explain=vocabulary.protocol_explained,
  )
  return engine


def _policy(script: str) -> str:
  digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
  return (
    f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
  )


def _facts(about: About) -> list[tuple[str, Any]]:
  checkpoint = about.checkpoint
  parameters = checkpoint.get("num_parameters")
  return [
    ("checkpoint", f"step {checkpoint.get('step', '?'):,}" if "step" in checkpoint else "?"),
    ("parameters", _parameters(parameters) if parameters else "?"),
    ("trained on", (checkpoint.get("corpus") or {}).get("name") or _donors(checkpoint)),
    ("held-out donors", ", ".join(about.splits.get("test", ())) or "none"),
    ("corpus", about.fingerprint),
    *_alarms(about),
    ("made", about.date.replace("T", " ").replace("+00:00", " UTC")),
  ]


def _alarms(about: About) -> list[tuple[str, str]]:
  said = ", ".join(f"{name} from step {step}" for name, step in about.alarms.items())
  return [("alarms in training", said)] if said else []


def _donors(checkpoint) -> str:
  donors = ((checkpoint.get("corpus") or {}).get("splits") or {}).get("train", ())
  return "donors " + ", ".join(donors) if donors else "?"


def _held_out(about: About) -> str:
  donors = about.splits.get("test", ())
  sections = [one for one in about.sections if one.get("split") == "test"]
  spots = sum(one.get("spots", 0) for one in sections)
  where = f", {len(sections)} sections, {spots:,} spots" if sections else ""
  return f"{len(donors)} held-out donor{'s' if len(donors) != 1 else ''}{where}"


def _parameters(count: int) -> str:
  return f"{count / 1e6:.2f} million" if count >= 1e6 else f"{count:,}"
