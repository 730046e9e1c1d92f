"""The sections of one AnnData through a model, one after the other, whatever they came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from data_pipelines import patch_quality
from data_pipelines.alignment import panel_rows
from data_pipelines.console import Progress, counted, say
from data_pipelines.gene_names import GeneNames, meant_by
from data_pipelines.genes import GenePanel
from data_pipelines.preparation.regions import REGION_UM
from data_pipelines.problems import BadInputError
from data_pipelines.readers.annotated import raw_matrix
from data_pipelines.section import StreamedSection, spacing
from hibio import features
from hibio.export import domains as kinds
from hibio.export import results as names_
from hibio.export.new_genes import made_known
from hibio.export.predicted import Predicted
from hibio.export.reader import Reader
from hibio.export.results import Results
from hibio.export.section import Written, write_section
from hibio.pretrained import Pretrained


@dataclasses.dataclass(frozen=True)
class Settings:
  """What to compute.

  Attributes:
    domain_um: side that domains aim for at each level, finest first; None for those of
      training, empty for no domains.
    num_domains: kinds of tissue that the sections are told apart into; None for the most stable
      number.
    predict_expression: also predict the expression of genes.
    genes: only these; by default every gene of the AnnData that the model knows.
    gene_names: a table of names, to find genes by.
    new_genes: genes that the model has never seen count too; see `new_genes`.
    weights: file of the weights of the encoder whose features the model reads; None where it reads
      patches, or looks for them where they usually lie.
  """

  domain_um: tuple[float, ...] | None = None
  num_domains: int | None = None
  predict_expression: bool = False
  genes: tuple[str, ...] | None = None
  gene_names: GeneNames | None = None
  new_genes: bool = False
  weights: Path | None = None

  def __post_init__(self):
    if any(not side > 0 for side in self.domain_um or ()):
      raise BadInputError(
        "--domain_um", "value", f"{min(self.domain_um):g} um", "more than 0",
        "name larger domains, or none for no domains",
      )  # fmt: skip


def write_sections(
  checkpoint: Pretrained,
  sections: Sequence[StreamedSection],
  var: pd.DataFrame,
  results: Results,
  settings: Settings,
  command: Mapping[str, Any] | None = None,
) -> float:
  """Writes what the model makes of every section into `results`.

  Args:
    sections: every spot of the AnnData is in one of them.
    var: genes of the AnnData.
    command: what else `uns` should hold of how this was made.

  Returns:
    Spots a second.

  Raises:
    BadInputError: a section cannot be used.
  """
  if settings.domain_um is None:
    of_training = checkpoint.meta["config"]["training"].get("region_um", REGION_UM)
    settings = dataclasses.replace(settings, domain_um=tuple(map(float, of_training)))
  reader = Reader.of(checkpoint, settings.gene_names)
  features.check_weights(checkpoint.features, settings.weights)
  if checkpoint.features is not None and any(one.image is not None for one in sections):
    encoder = features.encoder_of(checkpoint.features, settings.weights)
    reader = dataclasses.replace(reader, encoder=encoder)
  scales = {one.section_id: one.um_per_px for one in sections if one.image is not None}
  patch = ((reader.shape.patch_um, reader.shape.patch_px),)
  features.warn_of_coarse("embed", scales, reader.encoder.views if reader.encoder else patch)
  if settings.gene_names:
    sections = [_renamed(section, settings.gene_names) for section in sections]
  predicted = None
  if settings.predict_expression:
    predicted = predicted_genes(reader.panel, var, settings.genes)
  if settings.new_genes:
    reader = made_known(reader, sections)
  _make_room(results, reader, sections, predicted)
  spots = sum(one.num_spots for one in sections)
  progress = Progress("embed:", spots, "spots", every_seconds=5)
  sees = np.full(spots, names_.SEES_VALUES.index("nothing"))
  flags = {name: np.zeros(spots, bool) for name in names_.PATCH_FLAGS}
  domains = np.full((len(settings.domain_um), spots), -1, np.int32)
  domain_names: list[list[str]] = [[] for _ in settings.domain_um]
  written: list[Written] = []
  for one in sections:
    found = write_section(reader, one, results, settings.domain_um, predicted, progress.add)
    sees[one.rows] = found.sees
    prefix = f"{one.section_id}/" if len(sections) > 1 else ""
    for level, ids in enumerate(found.domains):
      domains[level, one.rows] = len(domain_names[level]) + ids
      domain_names[level] += [f"{prefix}{number}" for number in range(int(ids.max()) + 1)]
    written.append(found)
    of_patches = patch_quality.flags_of(one, reader.shape.patch_um)
    for name, values in zip(flags, of_patches.values(), strict=True):
      flags[name][one.rows] = values
    say(f"embed: {one.section_id}: {_had(found.about, len(reader.panel))}")
    for note in (*found.notes, *_other_pitch(one, checkpoint.pitch_um)):
      say(f"embed: {one.section_id}: {note}")
  # Without counts the share is 0.
  if not settings.new_genes and any(0 < one.about["counts_on_panel"] < _MOST for one in written):
    say("embed: --new_genes gives genes that the model has never seen a vector, and counts them")
  columns = {names_.SEES: pd.Categorical.from_codes(sees, list(names_.SEES_VALUES)), **flags}
  for level, (codes, names) in enumerate(zip(domains, domain_names, strict=True), 1):
    columns[f"{names_.DOMAIN}{level}"] = pd.Categorical.from_codes(codes, names)
  stability = None
  if settings.domain_um:
    columns[names_.KIND], stability = _kinds(sections, written, domains[0], sees, settings)
  about = names_.about(
    checkpoint=about_checkpoint(checkpoint),
    sections=[found.about for found in written],
    settings={
      "domain_um": settings.domain_um,
      "num_domains": settings.num_domains,
      "predict_expression": settings.predict_expression,
      **(command or {}),
    },
    pathways=reader.tables.names,
    predicted_genes=predicted.names if predicted else None,
    reliability=reader.readout.table(predicted.panel_rows)
    if _is_stored(reader, predicted)
    else None,
    stability=stability,
  )
  results.finish(columns, about)
  return progress.finish()


def _kinds(
  sections: Sequence[StreamedSection],
  written: Sequence[Written],
  pieces: Int[np.ndarray, " spot"],
  sees: Int[np.ndarray, " spot"],
  settings: Settings,
) -> tuple[pd.Categorical, pd.DataFrame]:
  """The kind of tissue of each spot, of one name in all sections, and how stable each number is.

  They are read from the modalities that all sections have, else from whatever each of them has:
  both lie in one space. Spots of which nothing is known have none.
  """
  common = set.intersection(*(set(found.around) for found in written))
  known = [sees[one.rows] != names_.SEES_VALUES.index("nothing") for one in sections]
  if not np.concatenate(known).any():
    return pd.Categorical.from_codes(np.full(len(sees), -1), []), kinds.NOTHING_TRIED
  values = [
    np.concatenate([found.around[name] for name in sorted(common)], axis=1)[seen]
    if common
    else np.mean(list(found.around.values()), axis=0)[seen]
    for found, seen in zip(written, known, strict=True)
  ]
  rows = np.concatenate([one.rows[seen] for one, seen in zip(sections, known, strict=True)])
  codes = np.full(len(sees), -1)
  codes[rows], stability = kinds.shared(values, pieces[rows], settings.num_domains)
  number = int(codes.max()) + 1
  how = "as asked for" if settings.num_domains else _found_again(stability)
  common = f"{counted(number, 'domains')} in common to {counted(len(sections), 'sections')}"
  say(f"embed: {common}, {how}")
  return pd.Categorical.from_codes(codes, [f"D{n}" for n in range(1, number + 1)]), stability


def _found_again(stability: pd.DataFrame) -> str:
  """In words, how far the number of domains can be trusted."""
  taken = stability.loc[stability["chosen"], "stability"]
  if not len(taken):
    return "too few spots for more"
  return f"stability {taken.iloc[0]:.2f} (1: found again everywhere, 0: by chance)"


def predicted_genes(
  panel: GenePanel, var: pd.DataFrame, genes: Sequence[str] | None = None
) -> Predicted:
  """The genes of an AnnData that a model knows; the whole panel for an AnnData without genes.

  Args:
    genes: only these, by the names of the AnnData or by their symbols; they need not be measured.

  Raises:
    BadInputError: a gene that the model does not know.
  """
  known: dict[str, int] = {}
  if len(var):
    columns, found = raw_matrix.genes_of(var, Path("var"))
    rows = panel_rows(found.gene_ids, found.gene_symbols, panel)
    names = var.index.astype(str).to_numpy()[columns]
    known = {str(name): int(row) for name, row in zip(names, rows, strict=True) if row >= 0}
  if genes is None and known:
    return Predicted(tuple(known), np.array(list(known.values())))
  for row, (id_, symbol) in enumerate(zip(panel.ids, panel.symbols, strict=True)):
    known.setdefault(symbol, row)
    if genes is not None or known[symbol] != row:  # two genes of one symbol go by their ids
      known.setdefault(id_, row)
  genes = tuple(known) if genes is None else tuple(genes)
  for name in genes:
    if name not in known:
      near = meant_by(name, known)
      raise BadInputError(
        "genes", "gene", repr(name), f"one of the model's {len(panel):,} genes",
        f"did you mean {near!r}?" if near else "leave it out",
      )  # fmt: skip
  return Predicted(genes, np.array([known[name] for name in genes], int))


def about_checkpoint(checkpoint: Pretrained) -> dict[str, Any]:
  """What results say of the model: enough to know it again."""
  encoder = checkpoint.features
  return {
    "name": checkpoint.workdir.name,
    "step": int(checkpoint.meta["step"]),
    "panel_hash": checkpoint.panel_hash,
    "panel_genes": checkpoint.model.num_genes,
    "corpus_fingerprint": checkpoint.meta["corpus"]["fingerprint"],
    "patch_um": checkpoint.patch_um,
    "patch_px": checkpoint.model.config.patch_px,
    "window_spots": checkpoint.window_spots,
    **({} if encoder is None else {"encoder": encoder["name"], "encoder_hash": encoder["hash"]}),
  }


def _make_room(
  results: Results, reader: Reader, sections: Sequence[StreamedSection], predicted: Predicted | None
) -> None:
  """Every matrix that these sections give."""
  width = reader.model.config.embedding_width
  results.add(names_.FUSED, width)
  if any(one.image is not None for one in sections):
    results.add(names_.IMAGE, width)
  if any(one.read_counts is not None for one in sections):
    results.add(names_.GENE, width)
  pathways = reader.tables.names
  if pathways:
    results.add(names_.PATHWAYS, len(pathways), names_.column_names(pathways))
  else:
    say("embed: the checkpoint holds no gene sets: no pathway scores")
  if predicted is not None:
    results.add(names_.PREDICTED, len(predicted.names))
    if results.genes:
      results.add(names_.LOG1P, len(results.genes))
  if _is_stored(reader, predicted) and any(one.image is not None for one in sections):
    results.add(names_.PREDICTED_SD, len(predicted.names))


def _is_stored(reader: Reader, predicted: Predicted | None) -> bool:
  return predicted is not None and reader.readout is not None


_MOST, _ALMOST_ALL = 0.9, 0.995
"""Shares of a section's counts that are of genes of the panel."""


def _had(about: Mapping[str, Any], panel_genes: int) -> str:
  """What the model had of a section, in words."""
  sees = {name: about[f"sees_{name}"] for name in names_.SEES_VALUES}
  words = {
    "both": "with image and counts", "image": "with an image alone",
    "gene": "with counts alone", "neighbours": "known by their neighbours alone",
    "nothing": "of which nothing is known",
  }  # fmt: skip
  spots = ", ".join(counted(count, f"spots {words[name]}") for name, count in sees.items() if count)
  image = f"; image: {about['image']}" if about["image"] else ""
  if not (known := about["panel_genes_found"]):
    return spots + image
  share = about["counts_on_panel"]
  genes = f"{known:,} of {panel_genes:,} panel genes found ({known / panel_genes:.0%})"
  rest = f", {1 - share:.0%} of the counts are of other genes" if share < _ALMOST_ALL else ""
  return f"{spots}; {genes}{rest}{image}"


_ANOTHER = 1.25
"""Times by which the pitch of spots is another one."""


def _other_pitch(section: StreamedSection, trained_um: float | None) -> tuple[str, ...]:
  """What to say of spots that lie nearer or farther apart than those of training."""
  own_um = spacing(section.positions_um)
  if not own_um or not trained_um or 1 / _ANOTHER < own_um / trained_um < _ANOTHER:
    return ()
  return (
    f"spots lie {own_um:.0f} um apart, and the model was trained on spots {trained_um:.0f} um "
    "apart: it sees others around a spot, and of another depth, than it learned",
  )


def _renamed(section: StreamedSection, names: GeneNames) -> StreamedSection:
  ids, symbols = names.translated(section.gene_ids, section.gene_symbols)
  return dataclasses.replace(section, gene_ids=ids, gene_symbols=symbols)
