"""What each level has learned: keywords, anchors and regions on held-out tissue, beside controls.

  python -m experiments.explain --checkpoint=WORKDIR --corpus=CORPUS --output=DIR

Writes `explain.md` (tables and figures), `explain.json` (rows of `hibio.evaluation.rows.Row`) and
the figures as PNG. Keywords are looked at in every section, as they need no model; anchors and
regions in the sections of held-out donors. `--gene_sets_held_out=FILE.gmt` asks the anchors of gene
sets that the model was not trained with, `--genes_housekeeping=FILE` says which are housekeeping.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from data_pipelines import entry
from data_pipelines.console import Parts
from data_pipelines.files import write_text
from data_pipelines.loading.corpus import Corpus
from hibio import pretrained
from hibio.evaluation import anchors, keyword_lists, keywords, regions, subject
from hibio.evaluation.rows import Row
from hibio.report import levels
from hibio.training.tables import gene_set_names

FLAGS = entry.Flags(__doc__)
_CHECKPOINT = FLAGS.string("checkpoint", None, "Work directory of a training run", required=True)
_CORPUS = FLAGS.string(
  "corpus", None, "Prepared corpus to explain the checkpoint on", required=True
)
_OUTPUT = FLAGS.string(
  "output", None, "Folder for explain.md, explain.json and figures", required=True
)
_HOUSEKEEPING = FLAGS.string(
  "genes_housekeeping", "", "List of housekeeping genes, one a line; default: known from names"
)
_GENE_SETS = FLAGS.string(
  "gene_sets_held_out", "", "GMT file of gene sets that the model was not trained with"
)
_SECTIONS = FLAGS.list(
  "sections", [], "Sections to explain and draw; default: all of held-out donors, two drawn"
)

PARTS = {"counts": 1.0, "embeddings of hibio": 1.0, "embeddings of untrained": 1.0,
         "keywords": 1.0, "anchors": 2.0, "regions": 1.0}  # fmt: skip


def main() -> None:
  output = Path(_OUTPUT.value)
  model = pretrained.load(_CHECKPOINT.value)
  corpus = Corpus.open(_CORPUS.value)
  known = (
    keyword_lists.of_file(_HOUSEKEEPING.value, corpus.panel)
    if _HOUSEKEEPING.value
    else keyword_lists.of_corpus(corpus)
  )
  names = gene_set_names(model.workdir)
  sets = [anchors.of_corpus(corpus, names)] if len(corpus.gene_set_names) else []
  if _GENE_SETS.value:
    sets.append(anchors.held_out(_GENE_SETS.value, corpus))
  parts = Parts("explain", PARTS)
  of = subject.gathered(model, corpus, tuple(_SECTIONS.value), known, parts)
  output.mkdir(parents=True, exist_ok=True)
  explained: list[tuple[list[str], list[Row]]] = []
  with parts.part("keywords", f"{len(of.donor_of)} sections"):
    explained.append(_keywords(of, output))
  with parts.part("anchors", ", ".join(one.title for one in sets)):
    explained += [_anchors(of, one, output) for one in sets]
  with parts.part("regions"):
    explained.append(_regions(of, output))
  _write(of, explained, output)
  print(f"every table and figure: {output / 'explain.md'}")


def _keywords(of: subject.Subject, output: Path) -> tuple[list[str], list[Row]]:
  found = {section: keywords.measure(of, section) for section in of.donor_of}
  rows = list(keywords.rows(of, found))
  text = [
    "## Level 1: keyword genes",
    "",
    f"Housekeeping: {of.housekeeping.source}. Chance: genes drawn from those that enough spots"
    " express; for shuffled spots -1/(n-1). By weight: over all keywords of all spots, each as"
    " heavy as the gene tower reads it.",
    "",
    *levels.tables(rows),
  ]
  for section in of.drawn:
    path = output / f"keywords_{section}.png"
    levels.draw_keyword_lists(of, section, found[section], path)
    text += _shown(path, f"Genes that each score picks in {section}")
  levels.draw_keyword_maps(of, found, output / "keyword_maps.png")
  return text + _shown(output / "keyword_maps.png", "Keywords and housekeeping genes"), rows


def _anchors(
  of: subject.Subject, sets: anchors.GeneSets, output: Path
) -> tuple[list[str], list[Row]]:
  found = anchors.measure(of, sets)
  rows = list(anchors.rows(of, found))
  text = [f"## Level 2: anchors of {sets.title}", "", _HOW_ANCHORS, ""]
  text += [f"- {note}" for note in sets.notes] + [""]
  text += [*levels.tables(rows), *levels.most_spatial_sets(found)]
  path = output / ("anchors.png" if sets.trained else "anchors_held_out.png")
  drawn = levels.draw_anchors(of, found, path)
  return text + (_shown(path, "The most spatial gene sets") if drawn else []), rows


_HOW_ANCHORS = (
  "Correlation in the section of a set's activity in the counts with the similarity of the spot to"
  " its anchor, and AUROC of the fifth of spots in which it is most active; means over sections,"
  f" then sets (± sd over sets; of random sets: over {anchors.DRAWS} draws)."
)


def _regions(of: subject.Subject, output: Path) -> tuple[list[str], list[Row]]:
  found = regions.measure(of)
  rows = list(regions.rows(of, found))
  text = [
    "## Level 3: nested regions",
    "",
    "Means over sections; chance: labels that have changed places within the section.",
    "",
    *levels.tables(rows),
    *levels.refreshed(regions.refreshes(of)),
  ]
  levels.draw_region_maps(of, found, output / "regions.png")
  levels.draw_region_sizes(found, output / "region_sizes.png")
  text += _shown(output / "regions.png", "Regions at each level")
  return text + _shown(output / "region_sizes.png", "Sizes of regions"), rows


def _shown(path: Path, caption: str) -> list[str]:
  return [f"![{caption}]({path.name})", ""]


def _write(of: subject.Subject, explained: list[tuple[list[str], list[Row]]], output: Path) -> None:
  command = "python -m experiments.explain " + shlex.join(sys.argv[1:])
  rows = [row.to_json() for _, found in explained for row in found]
  results = {
    "command": command,
    "banner": of.banner,
    "housekeeping": of.housekeeping.source,
    "checkpoint": of.model.describe(),
    "corpus": {"name": of.corpus.name, "fingerprint": of.corpus.fingerprint},
    "refreshes": regions.refreshes(of),
    "rows": rows,
  }
  write_text(output / "explain.json", json.dumps(results, indent=1, allow_nan=False))
  write_text(output / "explain.md", "\n".join(_page(of, command, explained)))


def _page(of: subject.Subject, command: str, explained) -> Iterator[str]:
  yield f"# What {of.model.workdir.name} has learned, on {of.corpus.name}\n"
  yield f"`{command}`\n"
  if of.banner:
    yield f"**{of.banner}**\n"
  for text, _ in explained:
    yield from text


if __name__ == "__main__":
  entry.run(main, FLAGS)
