"""Small sections made by hand, and sources that hand them over as readers would."""

import dataclasses

import numpy as np
import scipy.sparse
from PIL import Image

from data_pipelines import readers
from data_pipelines.loading.corpus import Corpus
from data_pipelines.prepare import PrepareOptions, prepare
from data_pipelines.section import Section
from data_pipelines.slide_image import SlideImage

GENES = 40
PITCH_UM = 100.0
UM_PER_PX = 5.0


def lattice(rows, columns):
  y, x = np.divmod(np.arange(rows * columns), columns)
  return PITCH_UM * np.stack([x + 0.5 * (y % 2), y * np.sqrt(0.75)], 1) + 100.0


def section(section_id, donor_id, rows=9, columns=10, seed=0, image=None, labels=None):
  """Two halves, left and right, with programs of their own; the genes' names are Ensembl ids."""
  rng = np.random.default_rng([seed, len(section_id), *section_id.encode()])
  positions = lattice(rows, columns)
  spots = len(positions)
  left = positions[:, 0] < np.median(positions[:, 0])
  rate = np.full((spots, GENES), 1.0)
  rate[:, :10] *= np.where(left, 6, 1)[:, None]
  rate[:, 10:20] *= np.where(left, 1, 6)[:, None]
  counts = rng.poisson(rate).astype(np.int32)
  return Section(
    section_id=section_id,
    donor_id=donor_id,
    platform="visium",
    species="human",
    counts=scipy.sparse.csr_matrix(counts),
    gene_ids=np.array([f"ENSG{n:011d}" for n in range(GENES)], object),
    gene_symbols=np.array([f"G{n}" for n in range(GENES)], object),
    spot_ids=np.array([f"{section_id}-{n}" for n in range(spots)], object),
    positions_um=positions,
    positions_px=positions / UM_PER_PX,
    array_positions=np.stack(np.divmod(np.arange(spots), columns), 1),
    um_per_px=UM_PER_PX,
    um_per_px_source="made so",
    image=image,
    labels={"side": np.where(left, "left", "right").astype(object)} if labels is None else labels,
    dropped={"spots outside the image": 1},
    notes=("made by hand",),
  )


def picture(folder, section_id, width_px=260, height_px=220):
  """An image whose pixel values say where they are: red = x, green = y."""
  y, x = np.mgrid[:height_px, :width_px]
  pixels = np.stack([x % 256, y % 256, np.full_like(x, 128)], -1).astype(np.uint8)
  path = folder / f"{section_id}.png"
  Image.fromarray(pixels).save(path)
  return SlideImage.open(path)


@dataclasses.dataclass
class Source:
  """As `data_pipelines.readers.SectionSource`, and counts how often it is read."""

  section: Section
  stamp: str = "1"
  reads: int = 0
  path: str = "by hand"
  reader: str = "by hand"

  @property
  def section_id(self):
    return self.section.section_id

  @property
  def donor_id(self):
    return self.section.donor_id

  def read(self):
    self.reads += 1
    return self.section

  def fingerprint(self):
    return f"{self.section_id} {self.stamp}"


def hand_over(monkeypatch, sources):
  """Makes `prepare` find these sources, whatever folder it is given."""
  monkeypatch.setattr(readers, "open_sections", lambda path, *_: list(sources))


def gene_sets(folder):
  path = folder / "sets.gmt"
  sets = {"left": range(10), "right": range(10, 20), "other": range(20, 30)}
  lines = ["\t".join([name, "", *(f"G{n}" for n in genes)]) for name, genes in sets.items()]
  path.write_text("\n".join(lines) + "\n")
  return path


def corpus(folder, monkeypatch):
  """One of two sections with an image, each of a donor of its own, and one without; prepared."""
  images = {name: picture(folder, name) for name in ("A1", "B1")}
  sections = [section(name, name[0], rows=6, image=image) for name, image in images.items()]
  hand_over(monkeypatch, map(Source, [*sections, section("C1", "C", rows=5)]))
  options = PrepareOptions(
    window_spots=24, test_donors=("B",), validation_donors=(), patch_um=80.0, patch_px=16,
    region_um=(283.0, 490.0),
  )  # fmt: skip
  prepare([folder], folder / "corpus", options)
  return Corpus.open(folder / "corpus")
