"""Turns raw sections into a prepared corpus, once, before training.

  python -m data_pipelines.prepare --input=DIR --output=CORPUS --gene_sets=FILE.gmt

The same command goes on where it stopped; with other options or inputs it redoes only what they
change. Each of --jobs processes has one section in memory, and one decoded image.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_pipelines import entry
from data_pipelines.preparation.options import PrepareOptions
from data_pipelines.preparation.pipeline import prepare
from data_pipelines.readers.flags import WordFlags
from data_pipelines.readers.metadata import COLUMNS

__all__ = ["PrepareOptions", "prepare"]

_BY_DEFAULT = PrepareOptions()

FLAGS = entry.Flags(__doc__)
_INPUT = FLAGS.multi_string(
  "input", None, "Folder of one or many sections; can be given several times", required=True
)
_OUTPUT = FLAGS.string("output", None, "Folder of the corpus", required=True)
_GENE_SETS = FLAGS.multi_string(
  "gene_sets", [], "GMT file of gene sets (pathways); can be given several times"
)
_METADATA = FLAGS.string("metadata", None, f"Table of sections: {', '.join(COLUMNS[1:])}")
_SAID = WordFlags(FLAGS)
_GENE_NAMES = FLAGS.string(
  "gene_names",
  None,
  "Table of ensembl_id and symbol (or alias and symbol), to join sections that differ",
)
_PANEL = FLAGS.string("panel", None, "panel.tsv of another corpus: its genes")
_EXTEND_PANEL = FLAGS.string(
  "extend_panel",
  None,
  "panel.tsv of a checkpoint to finetune: its genes, then those of this corpus that it lacks",
)
_PATCH_PX = FLAGS.integer("patch_px", _BY_DEFAULT.patch_px, "Pixels of a patch's side")
_PATCH_UM = FLAGS.float("patch_um", _BY_DEFAULT.patch_um, "Micrometres of a patch's side")
_WINDOW_SPOTS = FLAGS.integer(
  "window_spots", _BY_DEFAULT.window_spots, "Maximum number of spots in a window"
)
_TEST_DONORS = FLAGS.list("test_donors", None, "A,B: held out; without it, a quarter of the donors")
_VALIDATION_DONORS = FLAGS.list(
  "validation_donors", None, "C: looked at while training; without it, one of four or more donors"
)
_MIN_COUNTS = FLAGS.integer(
  "min_counts", _BY_DEFAULT.min_counts, "Minimum counts of a spot that is kept"
)
_MIN_GENES = FLAGS.integer(
  "min_genes", _BY_DEFAULT.min_genes, "Minimum number of genes that a spot that is kept shows"
)
_SECTIONS = FLAGS.list("sections", None, "A1,A2: only these sections")
_MIN_DOCUMENT_SHARE = FLAGS.float(
  "min_document_share",
  _BY_DEFAULT.min_document_share,
  "Share of the training spots that must show a gene of the panel",
)
_JOBS = FLAGS.integer(
  "jobs",
  None,
  "Sections worked on at a time; without it, one for each core and each 4 GB of memory",
  lower_bound=1,
)
_MAX_GENES = FLAGS.integer("max_genes", None, "Maximum number of genes in the panel")
_REGION_UM = FLAGS.list(
  "region_um",
  [f"{side:g}" for side in _BY_DEFAULT.region_um],
  "Micrometres of a region's side at each level, finest first",
)
_SKIP_BAD = FLAGS.bool(
  "skip_bad", False, "Leave out sections that cannot be used; summary.md of the corpus says why"
)
_BEAM = FLAGS.string(
  "beam",
  "",
  "Work on sections with Apache Beam, in place of --jobs: its runner and other arguments",
)


def main() -> None:
  options = PrepareOptions(
    gene_sets=tuple(map(Path, _GENE_SETS.value)),
    metadata=_path(_METADATA.value),
    words=_SAID.words(),
    gene_names=_path(_GENE_NAMES.value),
    panel=_path(_PANEL.value),
    extend_panel=_path(_EXTEND_PANEL.value),
    patch_px=_PATCH_PX.value,
    patch_um=_PATCH_UM.value,
    window_spots=_WINDOW_SPOTS.value,
    test_donors=_names(_TEST_DONORS.value),
    validation_donors=_names(_VALIDATION_DONORS.value),
    min_counts=_MIN_COUNTS.value,
    min_genes=_MIN_GENES.value,
    sections=_names(_SECTIONS.value),
    min_document_share=_MIN_DOCUMENT_SHARE.value,
    max_genes=_MAX_GENES.value,
    region_um=entry.positive_numbers(_REGION_UM),
    skip_bad=_SKIP_BAD.value,
    beam=_BEAM.value,
  )
  inputs = [Path(folder) for folder in _INPUT.value]
  prepare(inputs, Path(_OUTPUT.value), options, _JOBS.value)


def _path(text: str | None) -> Path | None:
  return Path(text) if text else None


def _names(words: Sequence[str] | None) -> tuple[str, ...] | None:
  """None where the flag is not given; `--test_donors=` names nobody."""
  return None if words is None else tuple(word for word in words if word)


if __name__ == "__main__":
  entry.run(main, FLAGS)
