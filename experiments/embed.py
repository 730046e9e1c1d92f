"""Embeddings, domains and pathway scores of new tissue: AnnData in, AnnData out.

  python -m experiments.embed --checkpoint=WORKDIR --input=INPUT --output=OUT.h5ad

INPUT is one of

  a folder    one section or many, as `data_pipelines.prepare` reads them
  x.h5ad      raw counts, positions, and an image where there is one; all that is in it is kept
  a file      with an ending that a registered reader takes; its sections, as those of a folder
  an image    PNG, JPEG or TIFF; --um_per_px says its scale, --spots or --grid_um the places to read

What is written is listed in `hibio/export/results.py`; `uns["hibio"]` says how it was made.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from data_pipelines import entry

FLAGS = entry.Flags(__doc__)
_CHECKPOINT = FLAGS.string("checkpoint", None, "Work directory of a pretraining run", required=True)
_INPUT = FLAGS.string("input", None, "Folder of sections, .h5ad file, or H&E image", required=True)
_OUTPUT = FLAGS.string("output", None, "File to write, ending in .h5ad", required=True)
_SECTION = FLAGS.list("section", [], "Only these sections of a folder")
_METADATA = FLAGS.string("metadata", None, "Table of the sections of a folder")
_LAYER = FLAGS.string("layer", None, 'Matrix of raw counts; "none" reads the image alone')
_LIBRARY_KEY = FLAGS.string("library_key", None, "Column of obs that names sections")
_IMAGE = FLAGS.string("image", None, "H&E image of the only section; none to read no image")
_IMAGE_SCALE = FLAGS.float("image_scale", 1.0, "Image pixels per pixel of the positions")
_UM_PER_PX = FLAGS.float("um_per_px", None, "Micrometres a pixel of positions or image")
_PLATFORM = FLAGS.string("platform", None, "Platform to read as, or the array of an .h5ad file")
_POSITIONS = FLAGS.string("positions", "spots", "What is known of them: spots, swapped or as_is")
_GENOME = FLAGS.string("genome", None, "Genome or species whose genes are kept, of a matrix of two")
_ROUND_COUNTS = FLAGS.bool(
  "round_counts", False, "Round counts that a correction left with fractions"
)
_SPOTS = FLAGS.string("spots", None, "Table with x and y in pixels of the image")
_GRID = FLAGS.string("grid", "hexagonal", "Grid over tissue: hexagonal or square")
_GRID_UM = FLAGS.float("grid_um", 100.0, "Micrometres from one place of the grid to the next")
_GENE_NAMES = FLAGS.string("gene_names", None, "Table of ensembl_id and symbol")
_NEW_GENES = FLAGS.bool(
  "new_genes", False, "Also read genes that the model has never seen, by those expressed with them"
)
_DOMAIN_UM = FLAGS.list(
  "domain_um",
  None,
  "Micrometres of a domain's side at each level, finest first; empty for no domains",
)
_NUM_DOMAINS = FLAGS.integer(
  "num_domains",
  None,
  "Kinds of tissue that all sections are told apart into; by default the most stable number",
  lower_bound=1,
)
_PREDICT = FLAGS.bool("predict_expression", False, "Also predict the expression of genes")
_WEIGHTS = FLAGS.string(
  "weights", None, "Weights of the image encoder whose features the model reads"
)
_OVERWRITE = FLAGS.bool("overwrite", False, "Replace the output if it is there")


def main() -> None:
  checkpoint = _CHECKPOINT.value
  source, output = Path(_INPUT.value).expanduser(), Path(_OUTPUT.value)
  from hibio.export import files  # JAX and anndata: a wrong flag need not wait for them

  request = files.Request(
    source=source,
    output=output,
    sections=tuple(_SECTION.value),
    metadata=_path(_METADATA),
    layer=_LAYER.value,
    library_key=_LIBRARY_KEY.value,
    image=_path(_IMAGE),
    image_scale=_IMAGE_SCALE.value,
    um_per_px=_UM_PER_PX.value,
    platform=_PLATFORM.value,
    positions=_POSITIONS.value,
    genome=_GENOME.value,
    round_counts=_ROUND_COUNTS.value,
    spots=_path(_SPOTS),
    grid=_GRID.value,
    grid_um=_GRID_UM.value,
    gene_names=_path(_GENE_NAMES),
    new_genes=_NEW_GENES.value,
    domain_um=entry.positive_numbers(_DOMAIN_UM),
    num_domains=_NUM_DOMAINS.value,
    predict_expression=_PREDICT.value,
    weights=_path(_WEIGHTS),
    overwrite=_OVERWRITE.value,
    command="python -m experiments.embed " + " ".join(sys.argv[1:]),
  )
  print(files.write(checkpoint, request))


def _path(flag: Any) -> Path | None:
  return None if flag.value is None else Path(flag.value).expanduser()


if __name__ == "__main__":
  entry.run(main, FLAGS)
