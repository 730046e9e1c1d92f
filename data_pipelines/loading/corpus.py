"""A prepared corpus, opened: its small tables in memory, its windows left on disk."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from data_pipelines.console import Progress
from data_pipelines.features.reading import model_input
from data_pipelines.features.store import Features, Store
from data_pipelines.files import read_arrays
from data_pipelines.gene_sets import Pathways
from data_pipelines.genes import GenePanel
from data_pipelines.loading import fitting, splitting
from data_pipelines.loading.quarantine import Quarantine
from data_pipelines.preparation import manifest as manifests
from data_pipelines.preparation import shards, spatial_genes, statistics
from data_pipelines.preparation.regions import REGION_UM
from data_pipelines.problems import BadInputError

_ROUND_SPOTS = 16
"""Few shapes, so that what is compiled for one corpus often serves another."""


@dataclasses.dataclass(frozen=True)
class Corpus:
  """Everything about a corpus that fits in memory.

  Attributes:
    path: its folder.
    manifest: what `manifest.json` says; `manifest["sections"]` is in the order of the tables' rows.
    panel: the ordered genes of every count and table.
    statistics: field of `hibio.batch.SectionStatistics` -> array.
    spatial_excess: how far each gene's pattern over each section is above chance.
    membership: genes of each gene set.
    gene_set_names: names of the gene sets.
    regions: region of each spot at each level, finest first, as prepared.
    spots: one row per spot: section_id, spot_id, x_um, y_um, ..., and a column for each label.
    features: of a frozen image encoder, which models then read in place of patches; see
      `with_features`.
    quarantine: takes windows that cannot be read; without it they are an error.
  """

  path: Path
  manifest: manifests.Manifest
  panel: GenePanel
  statistics: dict[str, np.ndarray]
  spatial_excess: Float[np.ndarray, "section gene"]
  membership: Bool[np.ndarray, "pathway gene"]
  gene_set_names: tuple[str, ...]
  regions: Int[np.ndarray, "level spot"]
  spots: pd.DataFrame
  features: Features | None = None
  quarantine: Quarantine | None = None

  @classmethod
  def open(cls, path: str | os.PathLike) -> Corpus:
    """Reads the tables, as they were written; windows are looked at when they are first used.

    Raises:
      BadInputError: no corpus there, one that is unfinished or of another version, or a missing,
        changed or foreign file in it.
    """
    path = Path(path)
    manifest = manifests.read(path)
    try:
      return cls._of(path, manifest)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
      raise BadInputError(
        path, "content", f"tables that do not fit together ({error!r})", "a prepared corpus",
        "prepare it again into a new folder",
      ) from error  # fmt: skip

  @classmethod
  def _of(cls, path: Path, manifest: manifests.Manifest) -> Corpus:
    for name in manifests.TABLES:
      manifests.check(path, manifest, name)
    gene_sets, tables, regions = map(
      functools.partial(_arrays, path),
      (manifests.GENE_SETS, manifests.STATISTICS, manifests.FIRST_REGIONS),
    )
    try:
      spots = pd.read_parquet(path / manifests.SPOTS)
    except (OSError, ValueError) as error:
      raise _unreadable(path / manifests.SPOTS, error) from error
    corpus = cls(
      path=path,
      manifest=manifest,
      panel=GenePanel.load(path / manifests.PANEL),
      spatial_excess=tables.pop(spatial_genes.EXCESS),
      statistics=tables,
      membership=gene_sets["membership"],
      gene_set_names=tuple(map(str, gene_sets["names"].tolist())),
      regions=regions["regions"],
      spots=spots,
    )
    fitting.check(corpus)
    return corpus

  @property
  def name(self) -> str:
    """Name of the corpus' folder, with the folder around it where it is just called "corpus"."""
    path = self.path.absolute()
    return f"{path.parent.name}/corpus" if path.name == "corpus" else path.name

  @property
  def fingerprint(self) -> str:
    """16 hexadecimal digits that change if a shard, the panel, a gene set or a split does."""
    m = self.manifest
    shards = {section["section_id"]: {} for section in m["sections"]}
    for name, digest in m["files"].items():
      if ".array_record" in name:
        _, section, inside = name.split("/", 2)
        shards[section][inside] = digest
    content = {
      "sections": [
        [s["section_id"], s["donor_id"], shards[s["section_id"]]] for s in m["sections"]
      ],
      "panel": m["panel"]["hash"],
      "gene_sets": m["gene_sets"],
      "splits": m["splits"],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

  @property
  def row_of(self) -> dict[str, int]:
    """Section -> its row in the statistics."""
    return {section["section_id"]: row for row, section in enumerate(self.manifest["sections"])}

  @property
  def patch_px(self) -> int:
    return self.manifest["patch"]["px"]

  @property
  def window_spots(self) -> int:
    """Places of a window in a batch: as many as the largest window fills, in round numbers."""
    largest = max(-(-s["num_spots"] // s["num_windows"]) for s in self.manifest["sections"])
    return min(-(-largest // _ROUND_SPOTS) * _ROUND_SPOTS, self.manifest["window_spots"])

  @functools.cached_property
  def feature_input(self) -> Float[np.ndarray, "corpus_spot both"]:
    """What models read of `features`, section by section; see `model_input`."""
    positions_um = self.spots[["x_um", "y_um"]].to_numpy()
    parts = [
      model_input(self.features.values[rows], self.features.known[rows], positions_um[rows])
      for rows in map(self.section_rows, range(len(self.manifest["sections"])))
    ]
    return np.concatenate(parts)

  @functools.cached_property
  def has_image(self) -> Bool[np.ndarray, " section"]:
    """Sections of whose spots patches can be read, or features where those are read instead."""
    sections = self.manifest["sections"]
    if self.features is None:
      return np.array([section["has_image"] for section in sections])
    return np.array([self.features.known[self.section_rows(n)].any() for n in range(len(sections))])

  @property
  def has_slides(self) -> bool:
    """Whether any section has an image, of which patches or features can be read."""
    return any(section["has_image"] for section in self.manifest["sections"])

  @property
  def region_um(self) -> tuple[float, ...]:
    """Side of a region at each level, finest first."""
    return tuple(self.manifest.get("region_um", REGION_UM))

  def section_rows(self, section: int) -> slice:
    """Rows of a section's spots in `spots`, by its row in the tables."""
    entry = self.manifest["sections"][section]
    return slice(entry["spot_offset"], entry["spot_offset"] + entry["num_spots"])

  def section_folder(self, section: int) -> Path:
    """Where the windows of a section lie, by its row in the tables."""
    return self.path / "windows" / self.manifest["sections"][section]["section_id"]

  def stored_windows(self, section: int) -> shards.StoredWindows:
    """The windows of a section, by its row in the tables.

    Raises:
      BadInputError: a file of the section is missing, or not as it was written.
    """
    folder = self.section_folder(section)
    # With a quarantine one bad record does not condemn all.
    in_parts = self.quarantine is not None
    manifests.check(self.path, self.manifest, f"windows/{folder.name}/", in_parts=in_parts)
    return shards.StoredWindows(folder, len(self.panel))

  def thumbnail(self, section: Mapping[str, Any]) -> Path | None:
    """The small image of a section, by its entry in the manifest; None where it has none.

    Raises:
      BadInputError: it is missing, or not as it was written.
    """
    if not section.get("thumbnail"):
      return None
    manifests.check(self.path, self.manifest, section["thumbnail"])
    return self.path / section["thumbnail"]

  def resplit(
    self,
    unit: str,
    test: Sequence[str],
    validation: Sequence[str] = (),
    train: Sequence[str] = (),
  ) -> Corpus:
    """The same corpus with others held out; nothing is read or written.

    What is known of genes over the whole corpus is taken from the sections that are now trained on.
    The panel, windows and regions stay: the panel was chosen when the corpus was prepared, from the
    counts of who was trained on then. The fingerprint changes.

    Args:
      unit: what is named and held out: "donor", or "section": then every section counts as a donor
        of its own, and the manifest keeps the donor that it is of under "patient".
      test: who is held out.
      validation: who is looked at while training.
      train: donors or single sections that are trained on; by default all others. Sections that are
        named nowhere then take no part.

    Raises:
      BadInputError: no such unit or name, a name in two splits, or nobody left to train on.
    """
    manifest = splitting.manifest_of(self.manifest, unit, test, validation, train)
    genes = splitting.background(self.statistics, self.spatial_excess, manifest["sections"])
    return dataclasses.replace(self, manifest=manifest, statistics={**self.statistics, **genes})

  def feature_store(self, name: str) -> Store:
    """Where features of this name lie, or will lie, beside the corpus."""
    return Store(self.path, name, self.manifest["sections"], self.spots)

  def with_features(self, name: str) -> Corpus:
    """The same corpus with features in place of patches, as `experiments.extract` wrote them.

    Raises:
      BadInputError: none of this name, unfinished ones, or damaged or foreign files.
    """
    return dataclasses.replace(self, features=self.feature_store(name).read())

  def without_features(self, about: Mapping[str, Any]) -> Corpus:
    """The same corpus, which has no image, for a model that reads features of this encoder."""
    return dataclasses.replace(self, features=Features.none(about, len(self.spots)))

  def with_gene_sets(self, sets: Pathways) -> Corpus:
    """The same corpus with other gene sets; nothing is written. Says on stderr how far it is.

    Windows, panel, splits and regions do not depend on gene sets. Each section's activities do:
    they are computed from its counts, one section in memory at a time. The fingerprint changes.

    Raises:
      BadInputError: a damaged shard.
    """
    sections = self.manifest["sections"]
    progress = Progress("gene sets", len(sections), "sections", every_seconds=0)
    activities = []
    for row, section in enumerate(sections):
      counts = self.stored_windows(row).counts()
      known = (self.statistics[name][row] for name in ("measured", "log_mean", "log_std"))
      activities.append(
        statistics.activity_statistics(lambda counts=counts: [counts], *known, sets.membership)
      )
      progress.add(note=f"{section['section_id']}: {counts.shape[0]:,} spots")
    mean, deviation = map(np.stack, zip(*activities, strict=True))
    return dataclasses.replace(
      self,
      manifest={**self.manifest, "gene_sets": sets.about},
      statistics={**self.statistics, "activity_mean": mean, "activity_std": deviation},
      membership=sets.membership.toarray(),
      gene_set_names=sets.names,
    )

  def with_random_gene_sets(self, seed: int) -> Corpus:
    """The corpus with random sets as large as its own, of genes that training donors measure."""
    training = np.array([section["split"] == "train" for section in self.manifest["sections"]])
    measured = self.statistics["measured"][training if training.any() else ~training].any(axis=0)
    return self.with_gene_sets(Pathways.random(self.membership, measured, seed))


def _arrays(folder: Path, name: str) -> dict[str, np.ndarray]:
  try:
    return read_arrays(folder / name)
  except (OSError, ValueError) as error:
    raise _unreadable(folder / name, error) from error


def _unreadable(path: Path, error: Exception) -> BadInputError:
  return BadInputError(path, "content", f"not readable ({error})", "an intact file", fitting.AGAIN)
