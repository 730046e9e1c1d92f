"""The three kinds of input that can be embedded, and what is done with each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_pipelines import readers
from data_pipelines.problems import BadInputError
from data_pipelines.readers import slide
from data_pipelines.readers.anndata import SUFFIX
from hibio import pretrained
from hibio.export import files, objects
from hibio.export.embedding import Settings
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
  spots: Path | None = None
  grid: str = "hexagonal"
  grid_um: float = 100.0
  gene_names: Path | None = None
  domain_spots: tuple[int, ...] | None = None
  predict_expression: bool = False
  overwrite: bool = False
  command: str = ""

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
    embed: reads, embeds and writes one.
    flags: fields of `Request` that mean something for it alone.
  """

  name: str
  embed: Callable[[Pretrained, Request, Settings], None]
  flags: tuple[str, ...]


def embed(checkpoint: str, request: Request) -> str:
  """Embeds the input and writes the output; a line that says so.

  Raises:
    BadInputError: a part of the input, or of the request, cannot be used. Nothing is written then.
  """
  files.check_output(request.output, request.overwrite)
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
  model = pretrained.load(checkpoint)
  chosen = objects.settings(
    model, request.gene_names, request.domain_spots, request.predict_expression
  )
  kind.embed(model, request, chosen)
  return f"embeddings, domains and pathway scores: {request.output}"


def _folder(model: Pretrained, request: Request, chosen: Settings) -> None:
  sources = readers.open_sections(request.source, request.metadata)
  known = {source.section_id: source for source in sources}
  for name in request.sections:
    if name not in known:
      raise BadInputError(
        "--section", "section", repr(name), f"some of {', '.join(list(known)[:20])}",
        "correct the name",
      )  # fmt: skip
  wanted = [source for name, source in known.items() if name in (request.sections or known)]
  sections = [source.read() for source in wanted]
  files.write(objects.embed_sections(model, sections, chosen, request.about()), request.output)


def _h5ad(model: Pretrained, request: Request, chosen: Settings) -> None:
  choices = objects.Choices(
    layer=request.layer,
    library_key=request.library_key,
    image=request.image,
    image_scale=request.image_scale,
    um_per_px=request.um_per_px,
  )
  files.embed(model, request.source, request.output, choices, chosen, request.about())


def _image(model: Pretrained, request: Request, chosen: Settings) -> None:
  if request.spots is not None:
    found = slide.with_spots(request.source, request.um_per_px, request.spots)
  else:
    found = slide.with_grid(request.source, request.um_per_px, request.grid, request.grid_um)
  files.write(objects.embed_slide(model, found, chosen, request.about()), request.output)


FOLDER = Kind("a folder", _folder, ("sections", "metadata"))
H5AD = Kind("an .h5ad file", _h5ad, ("layer", "library_key", "image", "image_scale", "um_per_px"))
IMAGE = Kind("an image", _image, ("um_per_px", "spots", "grid", "grid_um"))
BY_SUFFIX = {SUFFIX: H5AD, **{suffix: IMAGE for suffix in slide.SUFFIXES}}


def _kind(source: Path) -> Kind:
  if source.is_dir():
    return FOLDER
  if not source.exists():
    raise BadInputError(
      source, "--input", "no such file or folder", "a folder, an .h5ad file or an image",
      "correct the path",
    )  # fmt: skip
  if source.suffix.lower() not in BY_SUFFIX:
    raise BadInputError(
      source, "--input", f"a file ending in {source.suffix or 'nothing'}",
      f"a folder, or one of {', '.join(BY_SUFFIX)}", "convert it, or give the folder it lies in",
    )  # fmt: skip
  return BY_SUFFIX[source.suffix.lower()]


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
