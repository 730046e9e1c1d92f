"""Who is trained on and who is held out, decided anew for a corpus that is prepared already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from data_pipelines.preparation import spatial_genes, statistics
from data_pipelines.preparation.manifest import Manifest
from data_pipelines.preparation.splits import SPLITS
from data_pipelines.problems import BadInputError, nearest

UNITS = ("donor", "section")

UNUSED = "unused"
"""Split of sections that are neither trained on, nor watched, nor held out."""


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
  _check(unit, sections, {"train": train, "validation": validation, "test": test})
  for section in sections:
    section["split"] = _split_of(section, test, validation, train)
  splits = {
    split: sorted({s["donor_id"] for s in sections if s["split"] == split}) for split in SPLITS
  }
  if unused := [s["section_id"] for s in sections if s["split"] == UNUSED]:
    splits[UNUSED] = unused
  return {**manifest, "sections": sections, "splits": splits}


def _split_of(
  section: Mapping[str, Any],
  test: Sequence[str],
  validation: Sequence[str],
  train: Sequence[str],
) -> str:
  for split, named in (("test", test), ("validation", validation)):
    if section["donor_id"] in named:
      return split
  return "train" if not train or {section["donor_id"], section["section_id"]} & {*train} else UNUSED


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


def _check(
  unit: str, sections: Sequence[Mapping[str, Any]], asked: Mapping[str, Sequence[str]]
) -> None:
  units = {section["section_id"]: section["donor_id"] for section in sections}
  names = sorted(set(units.values()))
  where: dict[str, str] = {}
  for split in ("test", "validation", "train"):
    known = [*names, *units] if split == "train" else names
    for name in asked[split]:
      if name not in known:
        near = nearest(name, known)
        raise BadInputError(
          "config",
          f"split.{split}",
          f"{unit} {name!r}",
          f"some of {', '.join(names[:40])}",
          f"write {near}" if near else "correct the name, or set config.split.unit",
        )
      whose = name if name in names else units[name]
      if where.setdefault(whose, split) != split:
        raise BadInputError(
          "config",
          f"split.{split}",
          f"{name}, also in split.{where[whose]}",
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
