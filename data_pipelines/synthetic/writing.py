"""Writes a whole set: every section, its truth, and the programs as gene sets."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.spatial import cKDTree

from data_pipelines.problems import BadInputError
from data_pipelines.synthetic import programs, space_ranger
from data_pipelines.synthetic.anatomy import (
  COMPARTMENT_OF_LEAF,
  COMPARTMENTS,
  LEAVES,
  SPOT_DIAMETER_UM,
  Lattice,
  anatomy,
)
from data_pipelines.synthetic.expression import batch_effect, draw_ambient, draw_counts, measured
from data_pipelines.synthetic.morphology import draw_nuclei, draw_stains
from data_pipelines.synthetic.presets import PRESETS, VERSION, Preset
from data_pipelines.synthetic.programs import Genes
from data_pipelines.synthetic.stain import colour, draw_artefacts, draw_stain
from data_pipelines.synthetic.streams import stream

PATCH_UM = 112.0
_AMBIENT_SHARE = 0.15
_FIELDS = ("density", "tone", "silent", "texture")


def write(preset: str, output: str | os.PathLike, seed: int = 0) -> Path:
  """Writes the sections of a preset as Space Ranger folders, with their truth beside them.

  The folder appears under its name only when it is complete; a complete one is left as it is.
  Files are the same byte for byte for a preset, a seed and a `VERSION`.

  Returns:
    The folder: `<section>/outs/`, `<section>/tissue.jpg`, `<section>/labels.csv`,
    `<section>/truth.parquet`, `metadata.csv`, `programs.gmt`, `random_programs.gmt`, `truth.json`.

  Raises:
    BadInputError: no such preset, or `output` holds something else.
  """
  if preset not in PRESETS:
    raise BadInputError(
      "--preset", "name", repr(preset), f"one of {', '.join(PRESETS)}", "name a preset"
    )
  output = Path(output)
  if _is_complete(output, preset, seed):
    return output
  unfinished = output.with_name(output.name + ".unfinished")
  shutil.rmtree(unfinished, ignore_errors=True)
  unfinished.mkdir(parents=True)
  _write_all(preset, unfinished, seed)
  if output.is_dir():
    output.rmdir()  # empty: checked above
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
    found = "other files"
  if found != expected:
    raise BadInputError(
      output, "--output", str(found), f"an empty or new folder, or {expected}", "name a new folder"
    )
  return True


def _write_all(name: str, folder: Path, seed: int) -> None:
  preset = PRESETS[name]
  genes = programs.draw_genes(preset, seed)
  rows, unmeasured = [], {}
  for number in range(preset.donors * preset.sections_per_donor):
    donor = f"D{number // preset.sections_per_donor + 1}"
    section = f"{donor}S{number % preset.sections_per_donor + 1}"
    absent = _write_section(preset, genes, seed, number, donor, section, folder / section)
    unmeasured[section] = absent
    rows.append(
      {
        "section": section,
        "donor": donor,
        "image": f"{section}/tissue.jpg",
        "labels": f"{section}/labels.csv",
        "species": "human",
      }
    )
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
      leaf: [p for p, leaves in programs.LEAF_PROGRAMS.items() if leaf in leaves] for leaf in LEAVES
    },
    "field_programs": programs.FIELD_PROGRAMS,
    "silent_programs": list(programs.SILENT_PROGRAMS),
    "silent_fields": ["texture"],
    "housekeeping": sorted(genes.symbols[genes.housekeeping].tolist()),
    "unmeasured": unmeasured,
    "leaf_of_compartment": {
      compartment: [leaf for leaf in LEAVES if leaf.startswith(compartment)]
      for compartment in COMPARTMENTS
    },
  }
  text = json.dumps(truth, indent=1, sort_keys=True)
  (folder / "truth.json").write_text(text + "\n", encoding="utf-8")


def _write_section(
  preset: Preset, genes: Genes, seed: int, number: int, donor: str, section: str, folder: Path
) -> list[str]:
  """Writes one section; returns the symbols of genes that it does not measure."""
  spatial = folder / "outs" / "spatial"
  spatial.mkdir(parents=True)
  lattice = Lattice.of(*preset.lattice)
  tissue = anatomy(preset, lattice, seed, donor, section)
  um_per_px = preset.um_per_px[number % len(preset.um_per_px)]
  in_tissue = tissue.in_tissue(lattice.centres_um)
  centres = lattice.centres_um[in_tissue]

  shares = tissue.leaf_shares(centres)
  fields = {name: tissue.field(name, centres) for name in _FIELDS}
  activity = programs.activity(shares, fields)
  batch = batch_effect(preset, len(genes.ids), seed, donor, section)
  rng = stream(seed, "counts", section)
  counts = draw_counts(preset, genes, activity, fields["density"], batch, rng)
  outside = np.flatnonzero(~in_tissue)
  ambient = np.sort(rng.choice(outside, int(len(outside) * _AMBIENT_SHARE), replace=False))
  every_spot = np.concatenate([np.flatnonzero(in_tissue), ambient])
  every_count = np.concatenate([counts, draw_ambient(preset, counts, len(ambient), rng)])
  keep = measured(genes, seed, section)
  versioned = np.array([f"{i}.{1 + number % 7}" for i in genes.ids])
  barcodes = space_ranger.barcodes(len(lattice.row))
  space_ranger.write_matrix(
    folder / "outs" / "filtered_feature_bc_matrix.h5",
    every_count[:, keep],
    barcodes[every_spot],
    (versioned if number % 3 == 2 else genes.ids)[keep],
    genes.symbols[keep],
  )
  header = number % 2 == 0
  space_ranger.write_positions(
    spatial / ("tissue_positions.csv" if header else "tissue_positions_list.csv"),
    lattice,
    barcodes,
    in_tissue,
    lattice.centres_um / um_per_px,
    header,
  )

  rng = stream(seed, "image", section)
  nuclei = draw_nuclei(preset, tissue, rng)
  stains = draw_stains(preset, tissue, nuclei, um_per_px, rng)
  artefacts = draw_artefacts(preset, tissue, rng)
  stain = draw_stain(preset, seed, donor, section)
  pixels = colour(*stains, stain, artefacts, um_per_px, rng)
  Image.fromarray(pixels).save(folder / "tissue.jpg", quality=95, subsampling=0)
  space_ranger.write_images(spatial, pixels, um_per_px)

  leaf = tissue.leaf(centres)
  labels = pd.DataFrame(
    {
      "barcode": barcodes[in_tissue],
      "leaf": np.array(LEAVES)[leaf],
      "compartment": np.array(COMPARTMENTS)[COMPARTMENT_OF_LEAF[leaf]],
    }
  )
  labels.to_csv(folder / "labels.csv", index=False, lineterminator="\n")
  tree = cKDTree(nuclei.centres_um)
  in_spot = tree.query_ball_point(centres, SPOT_DIAMETER_UM / 2, return_length=True)
  in_patch = tree.query_ball_point(centres, PATCH_UM / 2, p=np.inf, return_length=True)
  truth = labels.assign(
    x_um=centres[:, 0],
    y_um=centres[:, 1],
    um_per_px=um_per_px,
    nuclei_in_spot=in_spot.astype(np.int32),
    nuclei_in_patch=in_patch.astype(np.int32),
    fold=artefacts.in_fold(centres),
    pen=artefacts.in_pen(centres),
    **{f"share/{name}": shares[:, n] for n, name in enumerate(LEAVES)},
    **{f"field/{name}": values for name, values in fields.items()},
    **{f"activity/{name}": activity[:, n] for n, name in enumerate(programs.PROGRAMS)},
  )
  truth.to_parquet(folder / "truth.parquet", index=False)
  return sorted(genes.symbols[~keep].tolist())


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
