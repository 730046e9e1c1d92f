"""From raw sections to a corpus: choose the genes, write the sections, then the tables.

A section is finished when its folder is renamed into place, the corpus when `manifest.json` is.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipelines.console import Progress, counted, say
from data_pipelines.files import sha256, versions, write_text
from data_pipelines.gene_names import GeneNames
from data_pipelines.gene_sets import Pathways, check_species, read_collections
from data_pipelines.genes import GenePanel
from data_pipelines.preparation import manifest as manifests
from data_pipelines.preparation import room, section_folder, summary
from data_pipelines.preparation.beam import beam_workers
from data_pipelines.preparation.choice import panel_of, pathways_of
from data_pipelines.preparation.manifest import WORK, Manifest, claimed
from data_pipelines.preparation.one_sample import refuse_twin
from data_pipelines.preparation.options import PrepareOptions
from data_pipelines.preparation.reading import Found, Sections, Summary
from data_pipelines.preparation.sources import found_in
from data_pipelines.preparation.splits import split_donors, split_of
from data_pipelines.preparation.summary import Bad
from data_pipelines.preparation.tables import TABLES_VERSION, write_tables
from data_pipelines.preparation.workers import Each, attempted, by_itself, given, workers
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
  output, bad = Path(output), Bad(options.skip_bad)
  output = output.absolute() if options.beam else output
  sources = found_in(inputs, options)
  donors = {source.donor_id for source in sources.values()}
  split_donors(donors, options.test_donors, options.validation_donors)  # says now what is wrong
  names = GeneNames.read(options.gene_names) if options.gene_names else None
  # A section read with other names is another section.
  stamp = f" {sha256(Path(options.gene_names))}" if names else ""
  fingerprints = {}
  for name, source in sources.items():
    with bad.met(name):
      fingerprints[name] = source.fingerprint() + stamp
  sources = {name: sources[name] for name in fingerprints}
  key = _corpus_key(fingerprints, sources, bad.reasons, options)
  with claimed(output), _half_written_cleared(output):
    if (done := _finished(output, key)) is not None:
      say(f"prepare: {output} is finished; nothing to do")
      return done
    sets = read_collections(options.gene_sets)  # says now what is wrong
    jobs = max(1, min(by_itself() if jobs is None else jobs, len(sources)))
    sections = Sections(sources, fingerprints, output, names, jobs, keep=not options.beam)
    lent = beam_workers(options.beam, output / WORK) if options.beam else workers(jobs)
    with lent as each:
      return _prepare(sections, output, key, options, each, bad, sets)


def _prepare(
  sections: Sections,
  output: Path,
  key: str,
  options: PrepareOptions,
  each: Each,
  bad: Bad,
  sets: Mapping[str, tuple[str, ...]],
) -> Manifest:
  summaries = _summaries(sections, each, bad, sets)
  splits = _splits([sections.sources[name].donor_id for name in summaries], options, bad)
  training = [n for n in summaries if split_of(splits, sections.sources[n].donor_id) == "train"]
  panel = panel_of(summaries, training, sections.names, options)
  sets = pathways_of(panel, options)
  keys = {
    name: section_folder.section_key(sections.fingerprints[name], panel, options)
    for name in summaries
  }
  done = {name: section_folder.finished(output, name, key) for name, key in keys.items()}
  needed = room.needed([s for n, s in summaries.items() if not done[n]], panel, options.patch_px)
  room.check(output, needed)
  # From here on the old tables no longer hold; until here a mistake in an option costs nothing.
  (output / manifests.FILE).unlink(missing_ok=True)
  with disk_explained(output, "--output", room.in_words(needed)):
    entries = _write_sections(sections, output, panel, options, each, bad, keys, done)
    return _write_corpus(output, entries, splits, panel, sets, key, options, each, bad)


def _write_corpus(
  output: Path,
  entries: list[dict[str, Any]],
  splits: dict[str, list[str]],
  panel: GenePanel,
  sets: Pathways,
  key: str,
  options: PrepareOptions,
  each: Each,
  bad: Bad,
) -> Manifest:
  """The tables, then the manifest, from sections that are in place."""
  files = {name: digest for entry in entries for name, digest in entry.pop("files").items()}
  splits = {
    split: [donor for donor in donors if any(entry["donor_id"] == donor for entry in entries)]
    for split, donors in splits.items()
  }
  num_spots = _place(entries, splits)
  panel.save(output / manifests.PANEL)
  labels = write_tables(output, entries, sets.membership, sets.names, options.region_um, each)
  summary.write(output, entries, len(panel), bad.reasons)
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
    "min_genes": options.min_genes,
    "skipped": bad.reasons,
    "created_with": versions(),
  }
  manifest["files"] = {name: sha256(output / name) for name in manifests.TABLES} | files
  manifests.write(output, manifest)
  write_text(output / WORK / "key", key)
  windows = counted(sum(entry["num_windows"] for entry in entries), "windows")
  gene_sets = counted(len(sets.names), "gene sets")
  say(
    f"prepare: {output}: {counted(len(entries), 'sections')}, {num_spots:,} spots in {windows},"
    f" {len(panel):,} genes, {gene_sets}; "
    + ", ".join(f"{split}: {' '.join(donors) or 'nobody'}" for split, donors in splits.items())
  )
  if bad.reasons:
    number = counted(len(bad.reasons), "sections")
    say(f"prepare: {number} left out; {output / manifests.SUMMARY} says why")
  return manifest


def _place(entries: Sequence[dict[str, Any]], splits: dict[str, list[str]]) -> int:
  """Writes into each entry its split and its first spot; returns the number of spots."""
  offset = 0
  for entry in entries:
    entry["split"] = split_of(splits, entry["donor_id"])
    entry["spot_offset"] = offset
    offset += entry["num_spots"]
  return offset


def _summaries(
  sections: Sections, each: Each, bad: Bad, sets: Mapping[str, tuple[str, ...]]
) -> dict[str, Summary]:
  """What the choice of genes needs of each section that can be used.

  Raises:
    BadInputError: gene sets are of another species than the first section.
  """
  progress = Progress("prepare: genes", len(sections.sources), "sections", every_seconds=0)
  found: dict[str, Summary] = {}
  for name, result in sections.summaries(each):
    with bad.met(name):
      summary = given(result)
      refuse_twin(name, summary.sample, {other: s.sample for other, s in found.items()})
      found[name] = summary
      progress.add(note=f"{name}: {summary.genes.num_spots:,} spots")
    if len(found) == 1:
      genes = next(iter(found.values())).genes
      check_species(sets, genes.gene_ids, genes.gene_symbols)
  bad.refuse_all(found)
  return found


def _splits(donors: Sequence[str], options: PrepareOptions, bad: Bad) -> dict[str, list[str]]:
  """Who is trained on; of held-out donors, those whose sections are not all skipped."""
  test, validation = (
    asked if asked is None or not bad.reasons else tuple(d for d in asked if d in donors)
    for asked in (options.test_donors, options.validation_donors)
  )
  return split_donors(donors, test, validation)


def _write_sections(
  sections: Sections,
  output: Path,
  panel: GenePanel,
  options: PrepareOptions,
  each: Each,
  bad: Bad,
  keys: Mapping[str, str],
  done: Mapping[str, dict[str, Any] | None],
) -> list[dict[str, Any]]:
  """The entries of all sections, written where they are not `done`."""
  shutil.rmtree(output / WORK / "partial", ignore_errors=True)
  entries = []
  if kept := sum(entry is not None for entry in done.values()):
    say(f"prepare: {kept} of {len(done)} sections are finished already")
  progress = Progress("prepare: patches", len(done) - kept, "sections", every_seconds=0)
  calls = (
    (_written, sections.take(name), panel, options, keys[name], output)
    for name, entry in done.items()
    if entry is None
  )
  written = each(attempted, calls)
  for name, entry in done.items():
    with bad.met(name):
      if entry is None:
        entry = given(next(written))
        genes = f"{entry['num_measured']:,} of {len(panel):,} genes"
        progress.add(note=f"{name}: {entry['num_spots']:,} spots, {genes}")
      entries.append(entry)
  bad.refuse_all(entries)
  return entries


def _written(found: Found, *rest) -> dict[str, Any]:
  return section_folder.write_section(found.read(), *rest)


def _corpus_key(
  fingerprints: Mapping[str, str],
  sources: Mapping[str, Any],
  skipped: Mapping[str, str],
  options: PrepareOptions,
) -> str:
  panel = options.panel or options.extend_panel
  files = [*options.gene_sets, *([panel] if panel else [])]
  for file in map(Path, files):
    if not file.is_file():
      raise BadInputError(file, "file", "none", "a file", "correct the path")
  content = (
    manifests.FORMAT_VERSION, TABLES_VERSION, sorted(fingerprints.items()),
    sorted((name, source.donor_id) for name, source in sources.items()),
    options.test_donors, options.validation_donors, sorted(skipped), options.skip_bad,
    [sha256(Path(file)) for file in files],
    options.patch_px, options.patch_um, options.window_spots, options.min_counts,
    options.min_genes,
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
