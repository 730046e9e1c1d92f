"""A platform from outside the package: one `Reader`, one line in `READERS`."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from data_pipelines import inspect, readers
from data_pipelines.prepare import PrepareOptions, prepare
from data_pipelines.problems import BadInputError
from data_pipelines.readers import READERS, Reader, SectionSource, lattice
from data_pipelines.readers.assembly import Positions, assemble
from data_pipelines.readers.metadata import Metadata
from data_pipelines.readers.raw_counts import RawCounts
from tests.data_pipelines import raw_folders

# What somebody who adds a platform writes.


def find(path, metadata: Metadata):
  """A section is a folder with counts.csv (a row a spot) and places.csv (row, column, x, y)."""
  files = (path / "counts.csv", path / "places.csv")
  if not all(file.is_file() for file in files):
    return []
  entry = metadata.entry(path.name, path)
  donor = entry.donor or path.name
  return [SectionSource(path.name, donor, "toy", path, files, entry, load)]


def load(source):
  counts, places = (pd.read_csv(file, index_col=0) for file in source.files)
  genes = counts.columns.to_numpy(str)
  matrix = scipy.sparse.csr_matrix(counts.to_numpy())
  spots, kinds = counts.index.to_numpy(str), np.full(len(genes), "")
  rows, columns = places["row"].to_numpy(), places["column"].to_numpy()
  positions_px = places[["x", "y"]].to_numpy(float)
  on_tissue = np.ones(len(places), bool)
  nominal = lattice.square(rows, columns, 50.0)
  return assemble(
    source,
    raw=RawCounts(source.files[0], matrix, spots, genes, genes, kinds).cleaned(),
    every_spot_counted=True,
    positions=Positions(
      source.files[1], places.index.to_numpy(str), rows, columns, positions_px, on_tissue
    ),
    um_per_px=lattice.um_per_px(nominal, positions_px, source.files[1]),
    um_per_px_source="lattice pitch of 50 um",
    image=None,
    image_scale=1.0,
    labels=[],
    notes=(),
  )


TOY = Reader(find=find, holds="toy folders (counts.csv and places.csv)", inner_folders=("extra",))


@pytest.fixture(autouse=True)
def toy(monkeypatch):
  monkeypatch.setitem(READERS, "toy", TOY)


@pytest.fixture
def study(tmp_path):
  """Two toy sections and one of Space Ranger."""
  for seed, name in enumerate(("t1", "t2")):
    rng = np.random.default_rng(seed)
    rows, columns = np.divmod(np.arange(48), 8)
    spots = [f"s{n}" for n in range(48)]
    genes = [f"GENE{n}" for n in range(25)]
    places = pd.DataFrame(
      {"row": rows, "column": columns, "x": 25.0 * columns, "y": 25.0 * rows}, index=spots
    )
    folder = tmp_path / "study" / name
    (folder / "extra").mkdir(parents=True)
    pd.DataFrame(rng.poisson(2, (48, 25)), spots, genes).to_csv(folder / "counts.csv")
    places.to_csv(folder / "places.csv")
  raw_folders.visium(tmp_path / "study" / "v" / "outs")
  return tmp_path / "study"


def test_sections_of_a_new_platform_are_found_beside_the_others(study):
  assert [s.section_id for s in readers.open_sections(study)] == ["t1", "t2", "v"]
  assert [s.section_id for s in readers.open_sections(study / "t1" / "extra")] == ["t1"]


def test_a_section_of_a_new_platform_is_read_with_its_row_of_the_metadata(study):
  (study / "metadata.csv").write_text("section,donor,species\nt1,d7,mouse\n")
  (section,) = readers.read_sections(study / "t1", study / "metadata.csv")
  assert (section.platform, section.donor_id, section.species) == ("toy", "d7", "mouse")
  assert section.um_per_px == pytest.approx(2.0)
  assert section.positions_um[9] == pytest.approx([50.0, 50.0])


def test_inspect_reports_a_new_platform(study, capsys):
  assert inspect.report(study) == 0
  report = capsys.readouterr().out
  assert "t1  toy" in report
  assert "48 spots x 25 genes" in report
  (study / "t1" / "places.csv").write_text(",row,column,x,y\ns0,0,0,0,0\n")
  assert inspect.report(study) == 1


def test_a_corpus_can_be_prepared_from_a_new_platform(study, tmp_path):
  manifest = prepare([study / "t1", study / "t2"], tmp_path / "corpus", PrepareOptions())
  assert [(s["section_id"], s["num_spots"]) for s in manifest["sections"]] == [
    ("t1", 48), ("t2", 48)
  ]  # fmt: skip


def test_a_folder_of_nothing_names_the_new_platform_among_those_that_are_read(tmp_path):
  with pytest.raises(BadInputError) as problem:
    readers.open_sections(tmp_path)
  *others, last = [reader.holds for reader in READERS.values()]
  assert problem.value.expected == f"{', '.join(others)} or {last}"
  assert last == "toy folders (counts.csv and places.csv)"


def test_a_file_is_offered_to_readers_of_its_ending_alone(tmp_path, monkeypatch):
  offered = []
  monkeypatch.setitem(
    READERS, "noted", Reader(find=lambda path, _: offered.append(path) or [], holds="notes",
                             suffix=".note"),
  )  # fmt: skip
  for name in ("a.note", "b.txt"):
    (tmp_path / name).write_text("x")
  with pytest.raises(BadInputError, match="found a file, expected a folder of sections"):
    readers.open_sections(tmp_path / "a.note")
  with pytest.raises(BadInputError):
    readers.open_sections(tmp_path / "b.txt")
  with pytest.raises(BadInputError):
    readers.open_sections(tmp_path)
  assert offered == [tmp_path / "a.note", tmp_path, tmp_path / "a.note"]
