"""From what a user has to an `.h5ad` file with results: the kinds of input.

The file appears complete or not at all.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anndata
import h5py

from data_pipelines import files, readers
from data_pipelines.gene_names import GeneNames
from data_pipelines.problems import BadInputError, disk_explained
from data_pipelines.readers import slide
from data_pipelines.readers.anndata import SUFFIX
from data_pipelines.readers.annotated import contents
from data_pipelines.readers.annotated.sections import Choices, sections_of
from data_pipelines.readers.metadata import NO_IMAGE
from data_pipelines.section import of_section
from hibio import pretrained, tissue
from hibio.export.results import STABILITY, UNS, InFile, InMemory
from hibio.export.sections import Settings, write_sections
from hibio.pretrained import Pretrained


@dataclasses.dataclass(frozen=True)
class Request:
  """What was asked for; fields as the flags of `experiments.embed`."""

  source: Path
  output: Path
  sections: tuple[str, ...] = ()
  metadata: Path | None = None
  layer: str | None = None
  library_key: str | None = None
  image: Path | None = None
  image_scale: float = 1.0
  um_per_px: float | None = None
  platform: str | None = None
  positions: str = "spots"
  genome: str | None = None
  round_counts: bool = False
  spots: Path | None = None
  grid: str = "hexagonal"
  grid_um: float = 100.0
  gene_names: Path | None = None
  new_genes: bool = False
  domain_um: tuple[float, ...] | None = None
  num_domains: int | None = None
  predict_expression: bool = False
  weights: Path | None = None
  overwrite: bool = False
  command: str = ""

  def words(self) -> readers.Words:
    """What is said of the sections of a folder."""
    return readers.Words(
      um_per_px=self.um_per_px,
      platform=self.platform,
      positions=self.positions,
      genome=self.genome,
      round_counts=self.round_counts or None,
      layer=self.layer,
      library_key=self.library_key,
      image=None if self.image is None else str(self.image),
      image_scale=None if self.image_scale == 1.0 else self.image_scale,
    )

  def about(self) -> dict[str, Any]:
    """What `uns["hibio"]["settings"]` keeps: the command, and the flags that apply."""
    values = {name: getattr(self, name) for name in _kind(self.source).flags}
    kept = {name: v.name if isinstance(v, Path) else v for name, v in values.items()}
    return {"input": self.source.name, "command": self.command, **kept}


@dataclasses.dataclass(frozen=True)
class Kind:
  """A kind of input.

  Attributes:
    name: for messages.
    write: reads one, and writes the file with results.
    flags: fields of `Request` that mean something for it alone.
  """

  name: str
  write: Callable[[Pretrained, Request, Settings], None]
  flags: tuple[str, ...]


def write(checkpoint: str, request: Request) -> str:
  """Writes the output with what the model makes of the input; a line that says so.

  Raises:
    BadInputError: a part of the input, or of the request, cannot be used. Nothing is written then.
  """
  check_output(request.output, request.overwrite)
  kind = _kind(request.source)
  _refuse_other_flags(request, kind)
  if request.um_per_px is not None and not request.um_per_px > 0:
    raise BadInputError(
      "--um_per_px", "value", f"{request.um_per_px:g}", "above 0", "give micrometres a pixel"
    )
  if not request.image_scale > 0:
    raise BadInputError(
      "--image_scale", "value", f"{request.image_scale:g}", "above 0",
      "give pixels of the image per pixel of the positions",
    )  # fmt: skip
  settings = Settings(
    domain_um=request.domain_um,
    num_domains=request.num_domains,
    predict_expression=request.predict_expression,
    gene_names=None if request.gene_names is None else GeneNames.read(request.gene_names),
    new_genes=request.new_genes,
    weights=request.weights,
  )
  kind.write(pretrained.load(checkpoint), request, settings)
  drawn = _draw_stability(request.output)
  return f"embeddings, domains and pathway scores: {request.output}{drawn}"


def _draw_stability(output: Path) -> str:
  """Draws beside the output how well each number of domains is found again, if any were tried."""
  from anndata.io import read_elem

  from hibio import plotting
  from hibio.report.section_figures import saved

  with h5py.File(output) as file:
    about = read_elem(file[f"uns/{UNS}"])
  if STABILITY not in about or not len(about[STABILITY]):
    return ""
  path = output.with_suffix(".domains.png")
  saved(plotting.stability(about[STABILITY]), path)
  return f"\nhow many domains: {path}"


def _folder(model: Pretrained, request: Request, settings: Settings) -> None:
  sources = readers.open_sections(request.source, request.metadata, request.words())
  known = {source.section_id: source for source in sources}
  for name in request.sections:
    if name not in known:
      raise BadInputError(
        "--section", "section", repr(name), f"some of {', '.join(list(known)[:20])}",
        "correct the name",
      )  # fmt: skip
  wanted = [source for name, source in known.items() if name in (request.sections or known)]
  sections = [source.read() for source in wanted]
  adata = tissue.of_sections(sections)
  streamed, first = [], 0
  for section in sections:
    streamed.append(of_section(section, first))
    first += section.num_spots
  write_sections(model, streamed, adata.var, InMemory(adata), settings, request.about())
  _put(adata, request.output)


def _h5ad(model: Pretrained, request: Request, settings: Settings) -> None:
  """Adds results to a copy of the file; no matrix of it is ever in memory as a whole."""
  without_image = request.image is not None and request.image.name.lower() == NO_IMAGE
  choices = Choices(
    layer=request.layer,
    library_key=request.library_key,
    image=None if without_image else request.image,
    image_scale=request.image_scale,
    um_per_px=request.um_per_px,
    platform=request.platform,
    positions=request.positions,
    without_image=without_image,
    genome=request.genome,
    round_counts=request.round_counts,
  )
  with contents.opened(request.source) as found:
    sections = sections_of(found, choices)
    with _appearing(request.output, request.source.stat().st_size) as partial:
      shutil.copyfile(request.source, partial)
      with h5py.File(partial, "r+") as file:
        results = InFile(file, len(found.obs))
        write_sections(model, sections, found.genes["var"], results, settings, request.about())


def _image(model: Pretrained, request: Request, settings: Settings) -> None:
  if request.spots is not None:
    found = slide.with_spots(request.source, request.um_per_px, request.spots)
  else:
    found = slide.with_grid(request.source, request.um_per_px, request.grid, request.grid_um)
  adata = tissue.of_slide(found)
  if settings.predict_expression:
    adata = tissue.with_genes(adata, model.meta["panel"])
  write_sections(model, [found.section], adata.var, InMemory(adata), settings, request.about())
  _put(adata, request.output)


_SAID = (
  "layer", "library_key", "image", "image_scale", "um_per_px", "platform", "positions", "genome",
  "round_counts",
)  # fmt: skip
FOLDER = Kind("a folder", _folder, ("sections", "metadata", *_SAID))
FILE = Kind("a file of sections", _folder, FOLDER.flags)
H5AD = Kind("an .h5ad file", _h5ad, _SAID)
IMAGE = Kind("an image", _image, ("um_per_px", "spots", "grid", "grid_um"))


def _kind(source: Path) -> Kind:
  if source.is_dir():
    return FOLDER
  if not source.exists():
    raise BadInputError(
      source, "--input", "no such file or folder", "a folder, an .h5ad file or an image",
      "correct the path",
    )  # fmt: skip
  kinds = _by_suffix()
  for suffix, kind in kinds.items():
    if source.name.lower().endswith(suffix):
      return kind
  raise BadInputError(
    source, "--input", f"a file ending in {source.suffix or 'nothing'}",
    f"a folder, or one of {', '.join(kinds)}", "convert it, or give the folder it lies in",
  )  # fmt: skip


def _by_suffix() -> dict[str, Kind]:
  """Endings of files that can be read; those of registered readers come before images."""
  of_readers = {one.suffix.lower(): FILE for one in readers.READERS.values() if one.suffix}
  images = {suffix: IMAGE for suffix in slide.SUFFIXES if suffix not in of_readers}
  return {**of_readers, SUFFIX: H5AD, **images}


def _refuse_other_flags(request: Request, kind: Kind) -> None:
  """A flag that does nothing here is a misunderstanding."""
  fields = {field.name: field.default for field in dataclasses.fields(Request)}
  for other in (FOLDER, H5AD, IMAGE):
    for name in other.flags:
      if name not in kind.flags and getattr(request, name) != fields[name]:
        flag = "section" if name == "sections" else name
        raise BadInputError(
          f"--{flag}", "use", f"given with {kind.name}", f"with {other.name} only", "leave it out"
        )


def check_output(output: Path, overwrite: bool) -> None:
  """Whether a result can be put here; before anything slow begins.

  Raises:
    BadInputError: no such folder, another ending, or a file that is already there.
  """
  if output.suffix != ".h5ad":
    raise BadInputError(
      output, "--output", f"a name ending in {output.suffix or 'nothing'}", ".h5ad", "rename it"
    )
  if not output.parent.is_dir():
    raise BadInputError(
      output, "--output", "no such folder", "a file in a folder that is there",
      f"make the folder: mkdir -p {output.parent}",
    )  # fmt: skip
  if output.exists() and not (overwrite and output.is_file()):
    raise BadInputError(
      output, "--output", "a file that is already there", "a new file",
      "give another --output, or --overwrite to replace it",
    )  # fmt: skip


@contextlib.contextmanager
def _appearing(output: Path, num_bytes: int) -> Iterator[Path]:
  """A name to write under; the file takes its place at the end, or goes if anything fails.

  Args:
    num_bytes: that it will have, at least.

  Raises:
    BadInputError: no room on the disk, or no right to write there.
  """
  files.require_room(output, num_bytes, "--output")
  needed = f"more than {num_bytes:,} bytes"
  with disk_explained(output.parent, "--output", needed), files.appearing(output) as partial:
    yield partial


def _put(adata: anndata.AnnData, output: Path) -> None:
  """Puts an AnnData in place in one step."""
  with _appearing(output, adata.__sizeof__()) as partial:
    adata.write_h5ad(partial)
