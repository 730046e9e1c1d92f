"""Features of spots by a frozen image encoder: of a slide, and of a whole corpus, once."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from data_pipelines.console import Progress, say
from data_pipelines.features import imported as files
from data_pipelines.features import store
from data_pipelines.features.store import Store
from data_pipelines.loading.corpus import Corpus
from data_pipelines.preparation import section_image
from data_pipelines.problems import BadInputError
from data_pipelines.slide_image import SlideImage
from hibio.encoders import catalogue, weights
from hibio.encoders.frozen import fingerprint

BATCH = 128
"""Spots that are read at once."""

NOT_READ = "not read"
"""Hash of an encoder of which a model was told the name, and trained without an image."""

_COARSE = 2.0
"""Times that a view may be enlarged before it is worth a word."""


@runtime_checkable
class Encoder(Protocol):
  """What reads patches, such as `hibio.encoders.catalogue.load` returns.

  Attributes:
    about: what it is, for whoever reads its features: "name", "hash", "width", ...
    views: squares around a spot that it reads: side in micrometres, and in pixels.
    width: of a spot's features.
  """

  about: Mapping[str, Any]
  views: Sequence[tuple[float, int]]
  width: int

  def __call__(
    self, patches: tuple[UInt8[np.ndarray, "spot px px 3"], ...]
  ) -> Float[np.ndarray, "spot width"]: ...


def read(
  encoder: Encoder,
  image: SlideImage,
  positions_px: Float[np.ndarray, "spot 2"],
  um_per_px: float,
  tell: Callable[[int], None] = lambda _: None,
) -> Float[np.ndarray, "spot width"]:
  """Features of each spot of a slide, NaN where its centre lies beside the slide.

  The slide is decoded once; patches of `BATCH` spots are in memory at a time.

  Args:
    tell: called with the number of spots of each batch.
  """
  found = np.full((len(positions_px), encoder.width), np.nan, np.float32)
  rows = np.flatnonzero(image.holds(positions_px))
  sizes = [(um / um_per_px, px) for um, px in encoder.views]
  patches = image.views(positions_px[rows], sizes) if len(rows) else iter(())
  for start in range(0, len(rows), BATCH):
    own = rows[start : start + BATCH]
    batch = zip(*itertools.islice(patches, len(own)), strict=True)
    found[own] = encoder(tuple(np.stack(view) for view in batch))
    tell(len(own))
  return found


def extract(corpus: Corpus, encoder: Encoder, name: str = "") -> Corpus:
  """The corpus with features that the encoder reads from its slides; says on stderr how far it is.

  They are kept beside the corpus, section by section: after an interruption finished ones are not
  read again.

  Args:
    name: of the features; by default the encoder's.

  Raises:
    BadInputError: no section has an image, or a slide is not where it lay.
  """
  name = name or encoder.about["name"]
  if not corpus.has_slides:
    raise BadInputError(
      corpus.path, "images", "none in any section", "H&E images to read",
      "name them in metadata.csv, and prepare the corpus again",
    )  # fmt: skip
  kept = corpus.feature_store(name)
  with kept.claimed():
    _extract(corpus, encoder, kept)
  return corpus.with_features(name)


def _extract(corpus: Corpus, encoder: Encoder, kept: Store) -> None:
  """Writes the features of the sections that are not there yet."""
  sections = corpus.manifest["sections"]
  rows = [row for row, section in enumerate(sections) if section["has_image"]]
  done = kept.begin(encoder.about)
  left = [row for row in rows if sections[row]["section_id"] not in done]
  if done:
    say(f"extract: {len(rows) - len(left)} of {len(rows)} sections are finished already")
  slides = [section_image.opened(sections[row], corpus.path) for row in left]  # headers alone
  scales = {sections[row]["section_id"]: sections[row]["um_per_px"] for row in left}
  warn_of_coarse("extract", scales, encoder.views)
  spots = sum(sections[row]["num_spots"] for row in left)
  progress = Progress(f"extract {kept.name}:", spots, "spots")
  positions_px = corpus.spots[["x_px", "y_px"]].to_numpy()
  for row, image in zip(left, slides, strict=True):
    tell = functools.partial(progress.add, note=sections[row]["section_id"])
    own = positions_px[corpus.section_rows(row)]
    values = read(encoder, image, own, sections[row]["um_per_px"], tell)
    kept.put(sections[row]["section_id"], values)
  progress.finish()


def warn_of_coarse(
  command: str, um_per_px: Mapping[str, float], views: Sequence[tuple[float, int]]
) -> None:
  """Says which slides show less than what reads them looks at.

  Args:
    um_per_px: micrometres a pixel of the slide of each section.
    views: squares around a spot that are read: side in micrometres, and in pixels.
  """
  if not um_per_px:
    return
  finest = min(um / px for um, px in views)
  coarse = [name for name, slide in um_per_px.items() if slide > _COARSE * finest]
  if coarse:
    shown = ", ".join(coarse[:6]) + (", ..." if len(coarse) > 6 else "")
    say(f"{command}: slides coarser than {finest:.3g} um a pixel are enlarged and blurred: {shown}")


def imported(
  corpus: Corpus, path: str, name: str, folder: str = "", tolerance_um: float | None = None
) -> Corpus:
  """The corpus with features that somebody else extracted; says how many spots have none.

  Args:
    path: as `data_pipelines.features.imported.read` takes it.
    name: of the encoder, where the file does not say.
    folder: name of the features; by default `name`, whatever the file calls its encoder.
    tolerance_um: how far a spot may lie from the middle of its patch, along either axis.

  Raises:
    BadInputError: a file that cannot be read, or features of too few spots.
  """
  sections = corpus.manifest["sections"]
  found = files.read(path, corpus.spots, sections, weights.read, tolerance_um)
  kept = corpus.feature_store(folder or name)
  name, width = found.encoder or name, found.values.shape[1]
  about = {
    "name": name,
    "hash": fingerprint({"imported": name}, {"values": found.values}),
    "licence": catalogue.CATALOGUE[name].licence if name in catalogue.CATALOGUE else "not known",
    "views": [],
    "width": width,
    "blocks": [[name, width]],
    "imported": Path(path).name,
  }
  known, unknown = found.known, 0
  with kept.claimed():
    kept.begin(about, anew=True)
    for row, section in enumerate(sections):
      rows = corpus.section_rows(row)
      if section["has_image"] or known[rows].any():
        kept.put(section["section_id"], found.values[rows])
        unknown += int((~known[rows]).sum())
  say(f"features {kept.name}: {known.sum():,} spots have them, {unknown:,} beside them have none")
  return corpus.with_features(kept.name)


def are_of(about: Mapping[str, Any], read: Mapping[str, Any], *, same_spots: bool = False) -> bool:
  """Whether features are those that a model reads, by what is said of their encoders.

  Those of one encoder have one hash. The hash of imported ones is that of their values: of other
  spots they are believed by the encoder's name. A model that was trained without an image reads any
  that have the name it was told.

  Args:
    about: of the features.
    read: of those that the model was trained on.
    same_spots: they are of the spots that the model was trained on.
  """
  if about["hash"] == read["hash"]:
    return True
  by_name = read["hash"] == NOT_READ or (
    not same_spots and "imported" in about and "imported" in read
  )
  return by_name and all(about[key] == read[key] for key in ("name", "width"))


def check_weights(about: Mapping[str, Any] | None, weights: str | os.PathLike | None) -> None:
  """Refuses weights of an encoder that nobody asks for.

  Args:
    about: of the features that a model reads; None where it reads patches.

  Raises:
    BadInputError: they are given with a model that reads patches.
  """
  if weights is not None and about is None:
    raise BadInputError(
      "--weights", "use", "given with a model that reads patches", "one that reads features",
      "leave it out",
    )  # fmt: skip


def made_for(
  about: Mapping[str, Any] | None, corpus: Corpus, weights: str | os.PathLike | None = None
) -> None:
  """Sees to it that a model finds its features beside a corpus, where their encoder is known.

  Args:
    about: of the features that the model reads; None where it reads patches.
    weights: file of the encoder's weights; by default where they usually lie.

  Raises:
    BadInputError: as `encoder_of` and `extract`.
  """
  check_weights(about, weights)
  if about is None or not corpus.has_slides or store.of_encoder(corpus.path, about["hash"]):
    return
  if "imported" in about or about["name"] in store.names(corpus.path):
    return  # whoever opens them is told what is wrong with them
  say(f"features {about['name']}: not in {corpus.path} yet, so they are extracted first")
  extract(corpus, encoder_of(about, weights))


def encoder_of(about: Mapping[str, Any], weights: str | os.PathLike | None = None) -> Encoder:
  """The encoder that features are of, to read new slides with.

  Args:
    about: of the features that a model was trained on.
    weights: file of the encoder's weights; by default where they usually lie.

  Raises:
    BadInputError: features that were imported, or an encoder that differs in weights or settings.
  """
  if "imported" in about:
    raise BadInputError(
      f"encoder {about['name']}", "features", f"imported ones ({about['imported']})",
      "features that hibio extracted, to extract them from new slides, too",
      f"train on those of python -m experiments.extract --encoder={about['name']}",
    )  # fmt: skip
  encoder = catalogue.load(about["name"], weights)
  if not are_of(encoder.about, about):
    raise BadInputError(
      f"encoder {about['name']}", "hash", encoder.about["hash"],
      f"{about['hash']}, of the features that the model was trained on",
      "give the weights that those were extracted with: --weights=FILE",
    )  # fmt: skip
  return encoder


def added(corpus: Corpus, name: str) -> Corpus:
  """The corpus with features of this name; extracted first where they are an encoder's we know.

  In a corpus without images there is nothing to extract: its counts are trained on alone.

  Raises:
    BadInputError: neither is there, or the weights are not.
  """
  known = name.removesuffix(catalogue.UNTRAINED) in catalogue.CATALOGUE
  if not known or corpus.feature_store(name).is_complete():
    return corpus.with_features(name)
  if not corpus.has_slides:
    say(f"features {name}: no section of {corpus.path} has an image; counts are trained on alone")
    known = catalogue.CATALOGUE[name.removesuffix(catalogue.UNTRAINED)].about()
    return corpus.without_features(known | {"name": name, "hash": NOT_READ})
  say(f"features {name}: not in {corpus.path} yet, so they are extracted first")
  return extract(corpus, catalogue.load(name))
