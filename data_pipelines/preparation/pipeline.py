"""From raw sections to a corpus: choose the genes, write the sections, then the tables.

A section is finished when its folder is renamed into place, the corpus when `manifest.json` is.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data_pipelines import readers
from data_pipelines.console import Progress, say
from data_pipelines.files import sha256, versions, write_text
from data_pipelines.gene_names import GeneNames
from data_pipelines.gene_sets import Pathways
from data_pipelines.genes import GenePanel, choose_panel, extended
from data_pipelines.preparation import manifest as manifests
from data_pipelines.preparation import section_folder
from data_pipelines.preparation.manifest import NAME, WORK, Manifest, claimed
from data_pipelines.preparation.options import PrepareOptions
from data_pipelines.preparation.reading import Found, Sections
from data_pipelines.preparation.splits import refuse_duplicates, split_donors, split_of
from data_pipelines.preparation.tables import TABLES_VERSION, write_tables
from data_pipelines.preparation.workers import Each, by_itself, workers
from data_pipelines.problems import BadInputError, disk_explained

_DEFAULTS = PrepareOptions()


def prepare(
  inputs: Sequence[Path],
  output: Path,
  options: PrepareOptions = _DEFAULTS,
  jobs: int | None = 1,
) -> Manifest:
  """Prepares every section found in `inputs` into the corpus `output`; says so on stderr.

  Args:
    jobs: sections worked on at a time, each by a process of its own; the corpus is the same. None:
      as many as there are cores for, with 4 GB of memory each. With more than one, a script that
      calls this guards its main module, as `multiprocessing` asks.

  Returns:
    The manifest, also when there was nothing left to do.

  Raises:
    BadInputError: something in the inputs or options cannot be used. Finished sections are kept.
  """
  output = Path(output)
  sources = _sources(inputs, options)
  splits = split_donors(
    (s.donor_id for s in sources.values()), options.test_donors, options.validation_donors
  )
  names = GeneNames.read(options.gene_names) if options.gene_names else None
  # A section read with other names is another section.
  stamp = f" {sha256(Path(options.gene_names))}" if names else ""
  fingerprints = {name: source.fingerprint() + stamp for name, source in sources.items()}
  key = _corpus_key(fingerprints, splits, options)
  with claimed(output), _half_written_cleared(output):
    if (done := _finished(output, key)) is not None:
      say(f"prepare: {output} is finished; nothing to do")
      return done
    jobs = min(by_itself() if jobs is None else jobs, len(sources))
    sections = Sections(sources, fingerprints, output, names, jobs)
    with workers(jobs) as each:
      return _prepare(sections, output, splits, key, options, each)


def _prepare(
  sections: Sections,
  output: Path,
  splits: dict[str, list[str]],
  key: str,
  options: PrepareOptions,
  each: Each,
) -> Manifest:
  panel = _panel(sections, splits, options, each)
  sets = _pathways(panel, options)
  # From here on the old tables no longer hold; until here a mistake in an option costs nothing.
  (output / manifests.FILE).unlink(missing_ok=True)
  entries = _write_sections(sections, output, panel, options, each)
  files = {name: digest for entry in entries for name, digest in entry.pop("files").items()}
  num_spots = _place(entries, splits)
  panel.save(output / manifests.PANEL)
  labels = write_tables(output, entries, sets.membership, sets.names, options.region_um, each)
  manifest = {
    "format": manifests.FORMAT,
    "version": manifests.FORMAT_VERSION,
    "units": {"position": "um"},
    "patch": {"um": options.patch_um, "px": options.patch_px},
    "window_spots": options.window_spots,
    "panel": {"file": manifests.PANEL, "hash": panel.hash, "num_genes": len(panel)},
    "gene_sets": sets.about,
    "sections": entries,
    "splits": splits,
    "labels": labels,
    "region_um": list(options.region_um),
    "min_counts": options.min_counts,
    "created_with": versions(),
  }
  tables = (
    manifests.PANEL, manifests.SPOTS, manifests.STATISTICS, manifests.GENE_SETS,
    manifests.FIRST_REGIONS,
  )  # fmt: skip
  manifest["files"] = {name: sha256(output / name) for name in tables} | files
  manifests.write(output, manifest)
  write_text(output / WORK / "key", key)
  windows = sum(entry["num_windows"] for entry in entries)
  say(
    f"prepare: {output}: {len(entries)} sections, {num_spots:,} spots in {windows:,} windows,"
    f" {len(panel):,} genes, {len(sets.names)} gene sets; "
    + ", ".join(f"{split}: {' '.join(donors) or 'nobody'}" for split, donors in splits.items())
  )
  return manifest


def _place(entries: Sequence[dict[str, Any]], splits: dict[str, list[str]]) -> int:
  """Writes into each entry its split and its first spot; returns the number of spots."""
  offset = 0
  for entry in entries:
    entry["split"] = split_of(splits, entry["donor_id"])
    entry["spot_offset"] = offset
    offset += entry["num_spots"]
  return offset


def _panel(
  sections: Sections, splits: dict[str, list[str]], options: PrepareOptions, each: Each
) -> GenePanel:
  """The genes that the options ask for: given, or chosen; behind those of another panel or not."""
  old = GenePanel.load(options.extend_panel) if options.extend_panel else None
  if options.panel:
    panel = GenePanel.load(options.panel)
  else:
    panel = _chosen_panel(sections, splits, options, each)
  panel = sections.names.on_panel(panel) if sections.names else panel
  return extended(old, panel) if old else panel


def _chosen_panel(
  sections: Sections, splits: dict[str, list[str]], options: PrepareOptions, each: Each
) -> GenePanel:
  training = [n for n, s in sections.sources.items() if split_of(splits, s.donor_id) == "train"]
  if not training:
    raise BadInputError(
      "--test_donors",
      "training donors",
      "none",
      "at least one, to choose the genes from",
      "hold out fewer donors, or give the genes of another corpus with --panel=panel.tsv",
    )
  progress = Progress("prepare: genes", len(sections.sources), "sections", every_seconds=0)
  found = {}
  for name, summary in sections.summaries(each):
    found[name] = summary
    progress.add(note=f"{name}: {summary.genes.num_spots:,} spots")
  refuse_duplicates({name: summary.content for name, summary in found.items()})
  return choose_panel(
    [found[name].genes for name in training],
    min_document_share=options.min_document_share,
    max_genes=options.max_genes,
  )


def _pathways(panel: GenePanel, options: PrepareOptions) -> Pathways:
  if not options.gene_sets:
    say("prepare: no --gene_sets: pathways cannot be learned from this corpus")
    return Pathways.none(panel)
  return Pathways.read(options.gene_sets, panel)


def _write_sections(
  sections: Sections, output: Path, panel: GenePanel, options: PrepareOptions, each: Each
) -> list[dict[str, Any]]:
  shutil.rmtree(output / WORK / "partial", ignore_errors=True)
  entries, contents = [], {}
  keys = {
    name: section_folder.section_key(fingerprint, panel, options)
    for name, fingerprint in sections.fingerprints.items()
  }
  done = {name: section_folder.finished(output, name, key) for name, key in keys.items()}
  if kept := sum(entry is not None for entry in done.values()):
    say(f"prepare: {kept} of {len(done)} sections are finished already")
  progress = Progress("prepare: patches", len(done) - kept, "sections", every_seconds=0)
  calls = (
    (sections.take(name), panel, options, keys[name], output)
    for name, entry in done.items()
    if entry is None
  )
  written = each(_written, calls)
  for name, entry in done.items():
    if entry is None:
      entry = next(written)
      progress.add(note=f"{name}: {entry['num_spots']:,} spots")
    contents[name] = entry["content"]
    refuse_duplicates(contents)
    entries.append(entry)
  return entries


def _written(found: Found, *rest) -> dict[str, Any]:
  return section_folder.write_section(found.read(), *rest)


def _sources(inputs: Sequence[Path], options: PrepareOptions) -> dict[str, Any]:
  found: dict[str, Any] = {}
  for folder in map(Path, inputs):
    for source in readers.open_sections(folder, options.metadata, options.words):
      name = source.section_id
      if not NAME.fullmatch(name):
        raise BadInputError(
          source.path,
          "section name",
          repr(name),
          "letters, digits, '.', '_' and '-', at most 80",
          "rename the section in the metadata table or its folder",
        )
      if name in found:
        raise BadInputError(
          source.path,
          "section name",
          f"{name}, also in {found[name].path}",
          "each name once",
          "rename one of the two, or give only one of them as --input",
        )
      found[name] = source
  if options.sections is None:
    return found
  for name in options.sections:
    if name not in found:
      raise BadInputError(
        "--sections",
        "section",
        repr(name),
        f"some of {', '.join(sorted(found)[:20])}",
        "correct the name",
      )
  return {name: source for name, source in found.items() if name in options.sections}


def _corpus_key(
  fingerprints: dict[str, str], splits: dict[str, list[str]], options: PrepareOptions
) -> str:
  panel = options.panel or options.extend_panel
  files = [*options.gene_sets, *([panel] if panel else [])]
  for file in map(Path, files):
    if not file.is_file():
      raise BadInputError(file, "file", "none", "a file", "correct the path")
  content = (
    manifests.FORMAT_VERSION, TABLES_VERSION, sorted(fingerprints.items()), sorted(splits.items()),
    [sha256(Path(file)) for file in files],
    options.patch_px, options.patch_um, options.window_spots, options.min_counts,
    options.min_document_share, options.max_genes, options.region_um,
    *(("extended",) if options.extend_panel else ()),
  )  # fmt: skip
  return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


def _finished(output: Path, key: str) -> Manifest | None:
  """The manifest, where these inputs and options are prepared and not a byte has changed since."""
  try:
    if (output / WORK / "key").read_text() != key:
      return None
    manifest = manifests.read(output)
  except (OSError, UnicodeDecodeError):
    return None
  except BadInputError as problem:
    if (output / manifests.FILE).is_file():
      say(f"prepare: {problem}")
    return None
  bad = list(manifests.damage(output, manifest))
  for path, what in bad:
    say(f"prepare: {path}: {what}; it is made again")
  return None if bad else manifest


@contextlib.contextmanager
def _half_written_cleared(output: Path) -> Iterator[None]:
  """Leaves nothing half-written behind, whatever ends the work."""
  try:
    with disk_explained(output, "--output", "room for the whole corpus"):
      yield
  except BaseException:
    shutil.rmtree(output / WORK / "partial", ignore_errors=True)
    raise
