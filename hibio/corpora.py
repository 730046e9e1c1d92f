"""A prepared corpus as the arrays that the library reads."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from data_pipelines import alignment, synthetic
from data_pipelines.console import say
from data_pipelines.features import store
from data_pipelines.gene_sets import Pathways
from data_pipelines.loading import loader, splitting
from data_pipelines.loading.corpus import Corpus
from data_pipelines.loading.quarantine import Quarantine
from data_pipelines.prepare import PrepareOptions, prepare
from data_pipelines.problems import BadInputError
from hibio import features
from hibio.batch import Batch, SectionStatistics, Tables
from hibio.parameters import with_gene_sets
from hibio.pathways import jaccard
from hibio.pretrained import Pretrained
from hibio.training import hosts, workdir
from hibio.training.tables import background, gene_set_names

SPLITS = ("train", "validation", "test")


def tables_of(corpus: Corpus) -> Tables:
  """The corpus' statistics, gene sets and first regions."""
  return Tables(
    statistics=SectionStatistics(**corpus.statistics),
    membership=corpus.membership,
    regions=corpus.regions,
    overlap=np.asarray(jaccard(jnp.asarray(corpus.membership))),
  )


def tables_for(model: Pretrained, corpus: Corpus) -> Tables:
  """The corpus' tables, with what the model took for granted of genes when it was trained.

  Which genes are common or patterned anywhere is part of what a model learned; a corpus of its own
  to judge by would let the sections that are scored choose. Of genes that the panel has gained
  since, only the corpus can tell.

  Raises:
    BadInputError: the file of the work directory that says so is missing or damaged.
  """
  tables, known = tables_of(corpus), background(model.workdir)
  own = {name: np.asarray(getattr(tables.statistics, name)) for name in known}
  both = {name: np.concatenate([known[name], own[name][len(known[name]) :]]) for name in known}
  return tables.replace(statistics=tables.statistics.replace(**both))


def check_extends(
  new_ids: Sequence[str],
  old_ids: Sequence[str],
  corpus: str | os.PathLike,
  workdir: str | os.PathLike,
) -> None:
  """Refuses a corpus whose panel does not begin with the checkpoint's genes, in their order.

  Raises:
    BadInputError: says how to prepare the corpus.
  """
  if tuple(new_ids[: len(old_ids)]) != tuple(old_ids):
    also = f"--extend_panel={workdir}/panel.tsv to keep its own new genes, or with "
    raise other_genes(new_ids, old_ids, corpus, workdir, also)


def other_genes(
  new_ids: Sequence[str],
  old_ids: Sequence[str],
  corpus: str | os.PathLike,
  workdir: str | os.PathLike,
  also: str = "",
) -> BadInputError:
  """The error for a corpus of other genes than a checkpoint's; its Fix is one that can help.

  Args:
    also: what else the corpus may be prepared with.
  """
  known = len(set(new_ids) & set(old_ids))
  return BadInputError(
    corpus,
    "gene panel",
    f"{len(new_ids):,} genes with {known:,} of the checkpoint's {len(old_ids):,}"
    + (", in another order" if known == len(old_ids) else ""),
    "all of them first, in the checkpoint's order",
    f"prepare it with {also}--panel={workdir}/panel.tsv to have its genes alone"
    if alignment.are_alike(known, new_ids, old_ids)
    else alignment.OTHER_GENES,
  )


def first_window(corpus: Corpus) -> Batch:
  """A batch of one window: enough for a model to learn its shapes."""
  return Batch(**next(iter(loader.windows_once(corpus, SPLITS, windows_per_batch=1))))


def params_over(model: Pretrained, corpus: Corpus) -> Any:
  """The model's parameters for the corpus' gene sets, matched by name.

  Anchors are made of their member genes and a learned offset. Gene sets that the model was not
  trained with have no offset.
  """
  if model.meta["corpus"]["fingerprint"] == corpus.fingerprint:
    return model.params
  known = gene_set_names(model.workdir)
  return with_gene_sets(model.params, known, corpus.gene_set_names)


def corpus(preset: str, seed: int, root: Path) -> Path:
  """Writes and prepares synthetic tissue under `root`; what is finished is not done again.

  Of several processes the first does it.

  Returns:
    The prepared corpus. The planted truth lies beside it in `raw/truth.json`.
  """
  folder = root / (f"synthetic-{preset}" + (f"-seed{seed}" if seed else ""))
  raw = folder / "raw"
  if not hosts.is_first():
    return folder / "corpus"
  if not (raw / "truth.json").is_file():
    say(f"making synthetic tissue ({preset}) in {folder}")
    synthetic.write(preset, raw, seed, "--config.synthetic.preset")
  prepare([raw], folder / "corpus", PrepareOptions(gene_sets=(raw / "programs.gmt",)))
  return folder / "corpus"


def opened(config: ConfigDict) -> Corpus:
  """The corpus that a config names, with the splits and the features that it names.

  Synthetic tissue beside its work directory if it names none. Features that are not there yet are
  extracted, where an encoder has their name.

  Raises:
    BadInputError: no such corpus or features, or ones that cannot be used; splits that it cannot
      have; features to extract for a work directory of another corpus.
  """
  beside, tissue = Path(config.workdir).absolute().parent, config.synthetic
  found = Corpus.open(config.corpus or corpus(tissue.preset, tissue.seed, beside))
  if config.get("max_bad_windows"):
    quarantine = Quarantine(config.max_bad_windows, Path(config.workdir))
    found = dataclasses.replace(found, quarantine=quarantine)
  if config.get("features"):
    workdir.refuse_other_corpus(Path(config.workdir), found.panel.hash, found.path)
    found = features.added(found, config.features)
  return resplit(found, config.split)


def resplit(corpus: Corpus, split: ConfigDict) -> Corpus:
  """The corpus with the splits that a config names; as it was prepared where it names nobody.

  Raises:
    BadInputError: splits that the corpus cannot have, or a unit of which nothing is named.
  """
  named = {name: split_names(split[name]) for name in SPLITS}
  if any(named.values()):
    return corpus.resplit(split.unit, **named)
  if split.unit != "donor":
    raise BadInputError(
      "config", "split.unit", f"{split.unit!r}, and nothing named", f"{split.unit}s to hold out",
      "name them in --config.split.test, or leave the unit out",
    )  # fmt: skip
  return corpus


def split_as(model: Pretrained, corpus: Corpus) -> Corpus:
  """The corpus with the splits of the model's run, where it is the one that the run was given.

  A run may have held out others than the corpus does as it was prepared. Says so where it did.
  """
  run = model.meta["corpus"]
  if not _is_of_run(model, corpus) or run["splits"] == corpus.manifest["splits"]:
    return corpus
  sections = run["sections"][: len(corpus.manifest["sections"])]
  unit = "section" if splitting.is_by_section({"sections": sections}) else "donor"
  named = {
    name: [
      s["section_id" if name == "train" else "donor_id"] for s in sections if s["split"] == name
    ]
    for name in SPLITS
  }
  say(f"{corpus.name}: each {unit} is held out as in {model.workdir}")
  return corpus.resplit(unit, **named)


def _is_of_run(model: Pretrained, corpus: Corpus) -> bool:
  """Whether the corpus has the sections of the one that the model's run was given."""
  sections = corpus.manifest["sections"]
  # Behind the run's own sections stand those of the run that it began from.
  run = model.meta["corpus"].get("sections", ())[: len(sections)]
  here, there = ([(s["section_id"], s["content"]) for s in one] for one in (sections, run))
  return here == there


def split_names(text: str) -> tuple[str, ...]:
  """The names in a text that separates them by commas."""
  return tuple(name.strip() for name in text.split(",") if name.strip())


def described(corpus: Corpus) -> dict[str, Any]:
  """What a run says of its corpus: the manifest, the fingerprint, and what the features are."""
  about = corpus.features.about if corpus.features else None
  return {**corpus.manifest, "fingerprint": corpus.fingerprint, "features": about}


def as_read_by(model: Pretrained, corpus: Corpus) -> Corpus:
  """The corpus with what the model reads of its images: the features it was trained on, or patches.

  A corpus without images needs no features: without any the model reads its counts alone.

  Raises:
    BadInputError: these features are not there, or are those of another encoder.
  """
  about = model.features
  if about is None:
    return dataclasses.replace(corpus, features=None)
  there = store.of_encoder(corpus.path, about["hash"])
  if not there and not corpus.has_slides:
    return corpus.without_features(about)
  found = corpus.with_features(there or about["name"])
  here = found.features.about
  if not features.are_of(here, about, same_spots=_is_of_run(model, found)):
    raise BadInputError(
      corpus.path,
      f"features {about['name']}",
      f"those of an encoder with hash {here['hash']}",
      f"{about['hash']}, which the checkpoint was trained with ({model.workdir})",
      "extract them again with the weights and settings that the checkpoint was trained with",
    )
  return found


RANDOM = "random"


def chosen(corpus: Corpus, gene_sets: str, seed: int) -> Corpus:
  """The corpus with the gene sets that a config names.

  Args:
    gene_sets: "" for the corpus' own, "random" for random ones of the same sizes, else GMT files,
      separated by commas.
    seed: of random sets.

  Raises:
    BadInputError: a file that cannot be read, or without a set that fits the panel.
  """
  if not gene_sets:
    return corpus
  if gene_sets == RANDOM:
    return corpus.with_random_gene_sets(seed)
  paths = [path.strip() for path in gene_sets.split(",") if path.strip()]
  return corpus.with_gene_sets(Pathways.read(paths, corpus.panel))
