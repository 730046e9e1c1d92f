"""Embedding of an AnnData, or of sections, in memory: what `Pretrained.embed` does."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anndata

from data_pipelines.gene_names import GeneNames
from data_pipelines.readers.annotated import contents
from data_pipelines.readers.annotated.sections import Choices, sections_of
from data_pipelines.readers.slide import Slide
from data_pipelines.section import Section, of_section
from hibio.export import base
from hibio.export import embedding as embedding_
from hibio.export.embedding import Settings
from hibio.export.results import InMemory
from hibio.pretrained import Pretrained

__all__ = ["Choices", "Settings", "embed", "embed_sections", "embed_slide", "settings"]


def settings(
  model: Pretrained,
  gene_names: str | os.PathLike | None,
  domain_spots: Sequence[int] | None,
  predict_expression: bool,
) -> Settings:
  """Settings as `Pretrained.embed` takes them; domains as large as in training by default."""
  if domain_spots is None:
    domain_spots = model.meta["config"]["training"]["region_spots"]
  return Settings(
    domain_spots=tuple(int(spots) for spots in domain_spots),
    predict_expression=predict_expression,
    gene_names=None if gene_names is None else GeneNames.read(Path(gene_names)),
  )


def embed(
  model: Pretrained, adata: anndata.AnnData, choices: Choices, chosen: Settings
) -> anndata.AnnData:
  """Adds to `adata`, and returns it.

  Raises:
    BadInputError: something in it cannot be used; `adata` is then as it was.
  """
  sections = sections_of(contents.of_object(adata), choices)
  embedding_.embed(model, sections, adata.var, InMemory(adata), chosen, _command(choices))
  return adata


def embed_sections(
  model: Pretrained,
  sections: Sequence[Section],
  chosen: Settings,
  command: Mapping[str, Any] | None = None,
) -> anndata.AnnData:
  """A new AnnData of all spots of the sections.

  Raises:
    BadInputError: a section shares hardly a gene with the model.
  """
  adata = base.of_sections(sections)
  streamed, first = [], 0
  for section in sections:
    streamed.append(of_section(section, first))
    first += section.num_spots
  embedding_.embed(model, streamed, adata.var, InMemory(adata), chosen, command)
  return adata


def embed_slide(
  model: Pretrained,
  slide: Slide,
  chosen: Settings,
  command: Mapping[str, Any] | None = None,
) -> anndata.AnnData:
  """A new AnnData of the spots of an image alone."""
  adata = base.of_slide(slide)
  embedding_.embed(model, [slide.section], adata.var, InMemory(adata), chosen, command)
  return adata


def _command(choices: Choices) -> dict[str, Any]:
  return {
    "layer": choices.layer,
    "library_key": choices.library_key,
    "image": choices.image.name if choices.image else None,
    "um_per_px": choices.um_per_px,
  }
