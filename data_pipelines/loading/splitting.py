"""Who is trained on and who is held out, decided anew for a corpus that is prepared already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from data_pipelines.preparation import spatial_genes, statistics
from data_pipelines.preparation.manifest import Manifest
from data_pipelines.preparation.splits import split_of
from data_pipelines.problems import BadInputError, nearest

UNITS = ("donor", "section")

UNUSED = "unused"
"""Split of what is neither trained on, nor watched, nor held out; there only where something is."""


def manifest_of(
  manifest: Manifest,
  unit: str,
  test: Sequence[str],
  validation: Sequence[str] = (),
  train: Sequence[str] = (),
) -> Manifest:
  """The manifest with other splits, as `Corpus.resplit` says.

  Raises:
    BadInputError: no such unit or name, a name in two splits, or nobody left to train on.
  """
  if unit not in UNITS:
    raise BadInputError(
      "config", "split.unit", repr(unit), f"one of {', '.join(UNITS)}", "correct the word"
    )
  sections = [_counted_as(unit, section) for section in manifest["sections"]]
  names = sorted({section["donor_id"] for section in sections})
  asked = {"train": train, "validation": validation, "test": test}
  _check(unit, names, asked)
  held_out = {*test, *validation}
  chosen = set(train) or set(names) - held_out
  splits = {
    "train": sorted(chosen), "validation": sorted({*validation}), "test": sorted({*test})
  }  # fmt: skip
  if unused := sorted(set(names) - chosen - held_out):
    splits[UNUSED] = unused
  for section in sections:
    section["split"] = split_of(splits, section["donor_id"])
  return {**manifest, "sections": sections, "splits": splits}


def patient_of(section: Mapping[str, Any]) -> str:
  """The person or animal that a section is of, also where sections are split one by one."""
  return section.get("patient", section["donor_id"])


def is_by_section(manifest: Manifest) -> bool:
  """Whether each section counts as a donor of its own."""
  return any("patient" in section for section in manifest["sections"])


def background(
  tables: Mapping[str, np.ndarray],
  excess: Float[np.ndarray, "section gene"],
  sections: Sequence[Mapping[str, Any]],
) -> dict[str, np.ndarray]:
  """The corpus-wide statistics of genes, over the sections that are trained on.

  Args:
    tables: the statistics of every section.
    excess: how far each gene's pattern in each section is above chance.
    sections: of a manifest.
  """
  training = np.array([section["split"] == "train" for section in sections])
  spatial = spatial_genes.over_sections(excess, tables["measured"], training)
  return {**statistics.background(tables, training), "corpus_spatial": spatial}


def _counted_as(unit: str, section: Mapping[str, Any]) -> dict[str, Any]:
  patient = patient_of(section)
  rest = {key: value for key, value in section.items() if key != "patient"}
  if unit == "section":
    return {**rest, "donor_id": section["section_id"], "patient": patient}
  return {**rest, "donor_id": patient}


def _check(unit: str, names: Sequence[str], asked: Mapping[str, Sequence[str]]) -> None:
  where: dict[str, str] = {}
  for split, wanted in asked.items():
    for name in wanted:
      if name not in names:
        near = nearest(name, names)
        raise BadInputError(
          "config",
          f"split.{split}",
          f"{unit} {name!r}",
          f"some of {', '.join(names[:40])}",
          f"write {near}" if near else "correct the name, or set config.split.unit",
        )
      if where.setdefault(name, split) != split:
        raise BadInputError(
          "config",
          f"split.{split}",
          f"{name}, also in split.{where[name]}",
          f"each {unit} in one split",
          "name it in one of the two",
        )
  if not asked["train"] and not set(names) - set(where):
    raise BadInputError(
      "config",
      "split.test",
      f"every {unit} held out",
      f"at least one {unit} to train on",
      "hold out fewer",
    )
