"""Writes a whole set: every section with its truth, and the programs as gene sets."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from data_pipelines.console import Progress
from data_pipelines.problems import BadInputError, disk_explained
from data_pipelines.synthetic import programs, space_ranger
from data_pipelines.synthetic.anatomy import COMPARTMENTS, LEAVES
from data_pipelines.synthetic.presets import PRESETS, VERSION, stream
from data_pipelines.synthetic.programs import Genes
from data_pipelines.synthetic.sections import DrawnSection, draw_section


def write(preset: str, output: str | os.PathLike, seed: int = 0, field: str = "--preset") -> Path:
  """Writes the sections of a preset as Space Ranger folders, with their truth beside them.

  The folder appears under its name only when it is complete; a complete one is left as it is.
  Files are the same byte for byte for a preset, a seed and a `VERSION`.

  Args:
    field: what a message calls the preset: the flag that names it.

  Returns:
    The folder: `<section>/outs/`, `<section>/tissue.jpg`, `<section>/labels.csv`,
    `<section>/truth.parquet`, `metadata.csv`, `programs.gmt`, `random_programs.gmt`, `truth.json`.

  Raises:
    BadInputError: no such preset, or `output` holds something else.
  """
  if preset not in PRESETS:
    known = f"one of {', '.join(PRESETS)}"
    raise BadInputError(field, "name", repr(preset), known, "name one of these presets")
  output = Path(output)
  if _is_complete(output, preset, seed):
    return output
  unfinished = output.with_name(output.name + ".unfinished")
  with disk_explained(output, "--output", "room for the whole set"):
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
      unfinished.mkdir(parents=True)
      _write_all(preset, unfinished, seed)
    except BaseException:
      shutil.rmtree(unfinished, ignore_errors=True)
      raise
    if output.is_dir():
      output.rmdir()  # empty, or `_is_complete` would have refused it
    unfinished.rename(output)
  return output


def _is_complete(output: Path, preset: str, seed: int) -> bool:
  if not output.exists() or (output.is_dir() and not any(output.iterdir())):
    return False
  expected = {"preset": preset, "seed": seed, "version": VERSION}
  try:
    truth = json.loads((output / "truth.json").read_text(encoding="utf-8"))
    found = {name: truth[name] for name in expected}
  except (OSError, ValueError, KeyError, TypeError):
    found = None
  if found != expected:
    raise BadInputError(
      output,
      "--output",
      "other files" if found is None else _in_words(found),
      f"a new or an empty folder, or one with {_in_words(expected)}",
      "name a new folder",
    )
  return True


def _in_words(identity: dict) -> str:
  return "synthetic tissue of " + ", ".join(f"{name} {value}" for name, value in identity.items())


def _write_all(name: str, folder: Path, seed: int) -> None:
  preset = PRESETS[name]
  genes = programs.draw_genes(preset, seed)
  rows, unmeasured = [], {}
  total = preset.donors * preset.sections_per_donor
  progress = Progress("synthetic", total, "sections")
  for number in range(total):
    section = draw_section(preset, genes, seed, number)
    _write_section(folder / section.name, section, genes, number)
    rows.append(
      {
        "section": section.name,
        "donor": section.donor,
        "image": f"{section.name}/tissue.jpg",
        "labels": f"{section.name}/labels.csv",
        "species": "human",
      }
    )
    unmeasured[section.name] = sorted(genes.symbols[~section.measured].tolist())
    progress.add()
  pd.DataFrame(rows).to_csv(folder / "metadata.csv", index=False, lineterminator="\n")

  members = {program: genes.members(program) for program in programs.PROGRAMS}
  _write_gene_sets(folder / "programs.gmt", members, "planted program")
  _write_gene_sets(folder / "random_programs.gmt", _random_sets(genes, seed), "random genes")
  truth = {
    "preset": name,
    "seed": seed,
    "version": VERSION,
    "programs": members,
    "leaf_programs": {
      leaf: [program for program, leaves in programs.LEAF_PROGRAMS.items() if leaf in leaves]
      for leaf in LEAVES
    },
    "leaves_of_compartment": {
      compartment: [leaf for leaf in LEAVES if leaf.startswith(compartment)]
      for compartment in COMPARTMENTS
    },
    "field_programs": programs.FIELD_PROGRAMS,
    "silent_programs": list(programs.SILENT_PROGRAMS),
    "silent_fields": ["texture"],
    "housekeeping": sorted(genes.symbols[genes.housekeeping].tolist()),
    "unmeasured": unmeasured,
  }
  text = json.dumps(truth, indent=1, sort_keys=True)
  (folder / "truth.json").write_text(text + "\n", encoding="utf-8")


def _write_section(folder: Path, section: DrawnSection, genes: Genes, number: int) -> None:
  """One section; files differ in kind from section to section, as those of real cohorts do."""
  spatial = folder / "outs" / "spatial"
  spatial.mkdir(parents=True)
  barcodes = space_ranger.barcodes(len(section.in_tissue))
  ids = genes.ids
  if number % 3 == 2:
    ids = np.array([f"{id_}.{1 + number % 7}" for id_ in ids])  # with Ensembl version
  space_ranger.write_matrix(
    folder / "outs" / "filtered_feature_bc_matrix.h5",
    section.counts,
    barcodes[section.counted],
    ids[section.measured],
    genes.symbols[section.measured],
  )
  header = number % 2 == 0
  space_ranger.write_positions(
    spatial / ("tissue_positions.csv" if header else "tissue_positions_list.csv"),
    section.lattice,
    barcodes,
    section.in_tissue,
    section.lattice.centres_um / section.um_per_px,
    header,
  )
  space_ranger.write_images(spatial, section.pixels, section.um_per_px)
  Image.fromarray(section.pixels).save(folder / "tissue.jpg", quality=95, subsampling=0)
  labels = section.truth[["barcode", "leaf", "compartment"]]
  labels.to_csv(folder / "labels.csv", index=False, lineterminator="\n")
  section.truth.to_parquet(folder / "truth.parquet", index=False)


def _random_sets(genes: Genes, seed: int) -> dict[str, list[str]]:
  """As many sets, as large, of genes drawn at random from all that are not housekeeping."""
  rng = stream(seed, "random programs")
  usable = np.unique(genes.symbols[~genes.housekeeping])
  return {
    f"RANDOM{n}": sorted(rng.choice(usable, programs.GENES_PER_PROGRAM, replace=False).tolist())
    for n in range(1, len(programs.PROGRAMS) + 1)
  }


def _write_gene_sets(path: Path, sets: dict[str, list[str]], description: str) -> None:
  with path.open("w", newline="", encoding="utf-8") as file:
    table = csv.writer(file, delimiter="\t", lineterminator="\n")
    table.writerows([name, description, *members] for name, members in sets.items())
