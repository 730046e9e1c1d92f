"""Says what a folder holds, and every problem in it at once, before anything that takes long.

  python -m data_pipelines.inspect --input=DIR [--metadata=TABLE] [--overlay=FILE.png]

DIR holds raw sections or is a prepared corpus; --panel=panel.tsv holds their genes against those of
a corpus or checkpoint. Exit status 0: all well; 1: some sections have problems; 3: nothing in it
can be used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_pipelines import entry, overlays, patch_quality, readers
from data_pipelines.alignment import TARGETED, map_onto
from data_pipelines.console import counted
from data_pipelines.features import store
from data_pipelines.genes import GenePanel, is_ensembl
from data_pipelines.preparation import manifest as manifests
from data_pipelines.preparation.one_sample import Sample, twin
from data_pipelines.problems import EXIT_BAD_INPUT, BadInputError, printable
from data_pipelines.readers.flags import WordFlags
from data_pipelines.section import Section

EXIT_PROBLEMS = 1

FLAGS = entry.Flags(__doc__)
_INPUT = FLAGS.string("input", None, "Folder of raw sections, or a prepared corpus", required=True)
_METADATA = FLAGS.string("metadata", None, "Table with a column `section`")
_PANEL = FLAGS.string("panel", None, "panel.tsv of a corpus or checkpoint, to hold genes against")
_OVERLAY = FLAGS.string("overlay", None, "PNG to draw the spots of every section on its tissue")
_SAID = WordFlags(FLAGS)


def main() -> None:
  sys.exit(report(Path(_INPUT.value), _METADATA.value, _SAID.words(), _OVERLAY.value, _PANEL.value))


def report(
  folder: Path,
  metadata: str | os.PathLike | None = None,
  words: readers.Words | None = None,
  overlay: str | os.PathLike | None = None,
  panel: str | os.PathLike | None = None,
) -> int:
  """Prints what a folder holds, and draws its sections into the file `overlay`.

  Of each section it says how many genes of `panel` are measured.

  Returns:
    The exit status: 0, 1 where some sections have problems, 3 where all of them have.

  Raises:
    BadInputError: nothing was found.
  """
  if (folder / manifests.FILE).is_file():
    return _report_corpus(folder)
  sheet = None if overlay is None else overlays.Sheet(Path(overlay))
  genes = None if panel is None else GenePanel.load(Path(panel).expanduser())
  return _report_sections(readers.open_sections(folder, metadata, words), sheet, genes)


def _report_sections(
  sources: Sequence[readers.SectionSource],
  sheet: overlays.Sheet | None = None,
  panel: GenePanel | None = None,
) -> int:
  bad = []
  seen: dict[str, Sample] = {}
  for source in sources:
    try:
      section = patch_quality.judged(source.read())
    except BadInputError as problem:
      found = dict.fromkeys(map(str, (problem, *source.problems())))
      bad.append(source.section_id)
      print(f"{source.section_id}  {source.reader}  {source.path}")
      for line in found:
        print(f"  PROBLEM {line}")
      continue
    print(_described(section, source))
    if sheet is not None:
      sheet.add(section, alone=len(sources) == 1)
    sample = Sample.of(section)
    problems = _held_against(panel, section)
    if same := twin(sample, seen):
      problems.append(f"{same}: is it listed twice?")
    seen[section.section_id] = sample
    for problem in problems:
      print(f"  PROBLEM {problem}")
    if problems:
      bad.append(source.section_id)
  donors = {source.donor_id for source in sources}
  if sheet is not None and sheet.write():
    print(f"spots on tissue: {sheet.path}")
  names = f": {', '.join(bad)}" if bad else ""
  number = f"{counted(len(sources), 'sections')}, {counted(len(donors), 'donors')}"
  print(f"{number}, {len(bad)} with problems{names}")
  if len(bad) == len(sources):
    return EXIT_BAD_INPUT
  return EXIT_PROBLEMS if bad else 0


def _held_against(panel: GenePanel | None, section: Section) -> list[str]:
  """Prints what the section measures of the panel; what speaks against it."""
  num_genes = section.counts.shape[1]
  if not num_genes:
    return []
  if panel is None:
    if num_genes < TARGETED:
      print(
        f"  note: few genes, {num_genes:,}, as on a targeted panel: the others of a corpus or "
        "model of more count as not measured (--panel=panel.tsv says how many)"
      )
    return []
  try:
    found = map_onto(section.section_id, section.gene_ids, section.gene_symbols, panel)
  except BadInputError as problem:
    return [str(problem)]
  known = int(found.measured.sum())
  print(f"  {known:,} of {len(panel):,} panel genes measured ({known / len(panel):.0%})")
  for note in found.notes:
    print(f"  note: {note}")
  return []


def _described(section: Section, source: readers.SectionSource) -> str:
  depth = np.asarray(section.counts.sum(axis=1)).ravel()
  ensembl = is_ensembl(section.gene_ids).mean()
  names = "Ensembl ids" if ensembl > 0.9 else "symbols" if ensembl < 0.1 else "mixed names"
  lines = [
    f"{section.section_id}  {section.platform}  {source.path}",
    f"  donor {section.donor_id}, {section.species or 'species unknown'}",
    f"  {section.num_spots:,} spots x {section.counts.shape[1]:,} genes ({names}), "
    f"{int(np.median(depth)):,} counts per spot (median), "
    f"{1 - section.counts.nnz / np.prod(section.counts.shape):.0%} zeros",
  ]
  image = section.image
  scale = section.um_per_px * section.image_scale
  lines.append(f"  scale: {scale:.4g} um per pixel of the positions by {section.um_per_px_source}")
  if image is None:
    lines.append("  no image: expression only")
  else:
    lines.append(
      f"  image {image.path.name}, {image.kind}, {image.width_px:,} x {image.height_px:,} px, "
      f"{section.um_per_px:.3g} um per pixel"
    )
  lines += [f"  image {unused}" for unused in section.unused_images]
  for name, values in section.labels.items():
    classes = sorted(set(values.tolist()) - {""})
    lines.append(f"  label {name}: {len(classes)} classes ({', '.join(classes[:8])})")
  lines += [
    f"  patches: {words}" for words in [", ".join(patch_quality.in_words(section))] if words
  ]
  lines += [f"  left out: {counted(count, reason)}" for reason, count in section.dropped.items()]
  lines += [f"  note: {note}" for note in section.notes]
  return "\n".join(map(printable, lines))


def _report_corpus(folder: Path) -> int:
  try:
    return _report_manifest(folder, manifests.read(folder))
  except (KeyError, TypeError, AttributeError) as error:
    raise BadInputError(
      folder / manifests.FILE,
      "content",
      f"incomplete ({error})",
      "a complete manifest",
      "prepare the corpus again",
    ) from error


def _report_manifest(folder: Path, manifest: manifests.Manifest) -> int:
  sections, patch = manifest["sections"], manifest["patch"]
  spots = sum(section["num_spots"] for section in sections)
  print(f"prepared corpus, version {manifest['version']}, {folder}")
  print(
    f"  {counted(len(sections), 'sections')}, {counted(spots, 'spots')}, "
    f"{counted(manifest['panel']['num_genes'], 'genes')} (panel {manifest['panel']['hash']}), "
    f"{counted(len(manifest['gene_sets']['names']), 'gene sets')}"
  )
  print(
    f"  patches {patch['um']:g} um, {patch['px']} px; {manifest['window_spots']} spots per window"
  )
  if features := store.names(folder):
    print(f"  features: {', '.join(features)}")
  for split, donors in manifest["splits"].items():
    print(printable(f"  {split}: {counted(len(donors), 'donors')} ({', '.join(donors[:8])})"))
  for section in sections:
    image = "image" if section["has_image"] else "no image"
    print(
      f"  {section['section_id']}  {section['split']}  donor {section['donor_id']}  "
      f"{section['num_spots']:,} spots  {image}"
    )
  bad = list(manifests.damage(folder, manifest))
  for path, what in bad:
    print(f"  PROBLEM {path}: {what}; {manifests.AGAIN}")
  print(f"{len(bad)} damaged or missing files" if bad else "every file is as it was written")
  return EXIT_PROBLEMS if bad else 0


if __name__ == "__main__":
  entry.run(main, FLAGS)
