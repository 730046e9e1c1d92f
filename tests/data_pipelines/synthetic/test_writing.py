"""Synthetic tissue as it lies on disk: Space Ranger folders, truth beside them, the same bytes."""

import hashlib
import json
import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data_pipelines import gene_sets, readers, synthetic
from data_pipelines.problems import BadInputError
from data_pipelines.synthetic import writing

# Of what the files of `tiny`, seed 0, hold. Raise VERSION in presets.py when it changes, and print
# the new one:
# python -c "from tests.data_pipelines.synthetic import test_writing as t; t.print_digest()"
GOLDEN = "325d7e567c31a4e8614bd0f65b5fc68f951d0ec2585f8beafd28497b0efdfa15"


def digest(folder) -> str:
  """SHA-256 over contents, not files: compressors may change with the versions of libraries."""
  total = hashlib.sha256()
  for section in sorted(folder.glob("D*")):
    with h5py.File(section / "outs" / "filtered_feature_bc_matrix.h5") as file:
      for name in ("barcodes", "data", "indices", "indptr", "features/id", "features/name"):
        total.update(np.ascontiguousarray(file["matrix"][name][:]).tobytes())
    for positions in sorted((section / "outs" / "spatial").glob("*.csv")):
      total.update(positions.read_bytes())
    with Image.open(section / "outs" / "spatial" / "tissue_hires_image.png") as image:
      total.update(np.asarray(image).tobytes())
    total.update((section / "labels.csv").read_bytes())
    truth = pd.read_parquet(section / "truth.parquet")
    total.update(truth.select_dtypes("number").round(6).to_numpy(np.float32).tobytes())
  for name in ("metadata.csv", "programs.gmt", "random_programs.gmt", "truth.json"):
    total.update((folder / name).read_bytes())
  return total.hexdigest()


def print_digest():
  import tempfile

  with tempfile.TemporaryDirectory() as folder:
    print(digest(synthetic.write("tiny", folder)))


def files(folder) -> dict[str, bytes]:
  return {
    str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
  }


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
  return synthetic.write("tiny", tmp_path_factory.mktemp("tissue") / "tiny")


@pytest.fixture(scope="module")
def truth(tiny):
  return json.loads((tiny / "truth.json").read_text())


@pytest.fixture(scope="module")
def sections(tiny):
  return {section.section_id: section for section in readers.read_sections(tiny)}


def spot_truth(tiny, section):
  table = pd.read_parquet(tiny / section.section_id / "truth.parquet").set_index("barcode")
  return table.loc[section.spot_ids]


def test_the_same_seed_writes_the_same_bytes_and_another_seed_does_not(tiny, tmp_path):
  first, again = files(tiny), files(synthetic.write("tiny", tmp_path / "again"))
  assert first.keys() == again.keys()
  assert [name for name in first if first[name] != again[name]] == []
  other = files(synthetic.write("tiny", tmp_path / "other", seed=1))
  assert first["D1S1/labels.csv"] != other["D1S1/labels.csv"]
  assert first["D1S1/tissue.jpg"] != other["D1S1/tissue.jpg"]


def test_what_tiny_holds_has_not_drifted(tiny):
  assert digest(tiny) == GOLDEN


def test_every_section_reads_back_as_visium_with_its_donor_image_and_labels(tiny, sections):
  assert sorted(sections) == ["D1S1", "D2S1", "D3S1"]
  for name, section in sections.items():
    want = spot_truth(tiny, section)
    assert section.platform == "visium"
    assert section.donor_id == name[:2]
    assert section.image.kind == "full"
    assert section.num_spots == len(pd.read_parquet(tiny / name / "truth.parquet"))
    assert section.labels["leaf"].tolist() == want["leaf"].tolist()
    assert section.labels["compartment"].tolist() == want["compartment"].tolist()
    # Positions are whole pixels in the file, so the pitch of 100 um is known to about 1 in 300.
    assert section.um_per_px == pytest.approx(want["um_per_px"].iloc[0], rel=3e-3)


def test_patches_show_as_many_nuclei_as_the_truth_counts_there_and_only_there(tiny, sections):
  def agreement(move):
    found = []
    for section in sections.values():
      size_px = 112.0 / section.um_per_px
      centres_px = move(section.positions_px, size_px)
      patches = np.stack(list(section.image.crops(centres_px, size_px, 32))).astype(float)
      dark = (patches[..., 0] < 140).mean((1, 2))  # haematoxylin takes the red away
      nuclei = spot_truth(tiny, section)["nuclei_in_patch"]
      found.append(np.corrcoef(dark, nuclei)[0, 1])
    return np.mean(found)

  in_place = agreement(lambda centres, size: centres)
  assert in_place > 0.7
  assert agreement(lambda centres, size: centres[:, ::-1]) < 0.4
  assert agreement(lambda centres, size: centres + size / 2) < in_place - 0.15


def test_positions_come_with_a_header_and_without(tiny):
  with_header = tiny / "D1S1" / "outs" / "spatial" / "tissue_positions.csv"
  without = tiny / "D2S1" / "outs" / "spatial" / "tissue_positions_list.csv"
  assert with_header.read_text().startswith("barcode,in_tissue,array_row")
  assert without.read_text().splitlines()[0].split(",")[1] in ("0", "1")


def test_some_spots_off_the_tissue_are_counted_and_all_are_nearly_empty(tiny, sections):
  with h5py.File(tiny / "D1S1" / "outs" / "filtered_feature_bc_matrix.h5") as file:
    barcodes = file["matrix/barcodes"][:].astype(str)
    totals = np.add.reduceat(file["matrix/data"][:], file["matrix/indptr"][:-1])
  off = ~np.isin(barcodes, sections["D1S1"].spot_ids)
  assert 0 < off.sum() < 0.1 * len(off)
  assert totals[off].max() < np.quantile(totals[~off], 0.05)


def test_gene_names_are_as_awkward_as_real_ones(tiny):
  ids, symbols = {}, {}
  for name in ("D1S1", "D2S1", "D3S1"):
    with h5py.File(tiny / name / "outs" / "filtered_feature_bc_matrix.h5") as file:
      ids[name] = file["matrix/features/id"][:].astype(str)
      symbols[name] = file["matrix/features/name"][:].astype(str)
  assert any(id_.startswith("DEPRECATED_") for id_ in ids["D1S1"])
  assert not any("." in id_ for id_ in ids["D1S1"])
  assert all("." in id_ for id_ in ids["D3S1"])
  assert len(set(ids["D1S1"])) == len(ids["D1S1"])
  assert len(set(symbols["D1S1"])) < len(symbols["D1S1"])
  assert {"MT-CO1"} < {symbol for symbol in symbols["D1S1"] if "-" in symbol}
  assert set(symbols["D1S1"]) != set(symbols["D2S1"])  # each section lacks other genes


def test_planted_programs_are_higher_where_the_truth_says_they_are_on(tiny, truth, sections):
  section = sections["D2S1"]
  leaf = section.labels["leaf"]
  counts = section.counts.toarray() / section.counts.sum(1)
  rise = []
  for program in sorted(set(sum(truth["leaf_programs"].values(), []))):
    on = np.isin(leaf, [name for name, on in truth["leaf_programs"].items() if program in on])
    share = counts[:, np.isin(section.gene_symbols, truth["programs"][program])].sum(1)
    rise.append(share[on].mean() / share[~on].mean())
  assert len(rise) == 11
  assert min(rise) > 1.5


def test_gene_sets_are_the_planted_programs_and_the_random_ones_match_their_sizes(tiny, truth):
  planted = gene_sets.read_gmt(tiny / "programs.gmt")
  random = gene_sets.read_gmt(tiny / "random_programs.gmt")
  assert {name: list(genes) for name, genes in planted.items()} == truth["programs"]
  assert [len(g) for g in random.values()] == [len(g) for g in planted.values()]
  overlap = [len(set(a) & set(b)) for a in planted.values() for b in random.values()]
  assert max(overlap) < 12
  assert not set(sum(map(list, random.values()), [])) & set(truth["housekeeping"])


def test_every_leaf_lies_in_one_compartment(tiny, truth):
  tables = [pd.read_csv(path) for path in sorted(tiny.glob("*/labels.csv"))]
  pairs = set(map(tuple, pd.concat(tables)[["compartment", "leaf"]].to_numpy().tolist()))
  nested = truth["leaves_of_compartment"]
  assert pairs == {(name, leaf) for name, leaves in nested.items() for leaf in leaves}


def test_a_complete_folder_is_left_alone_and_other_files_are_never_overwritten(tiny, tmp_path):
  before = (tiny / "truth.json").stat().st_mtime_ns
  assert synthetic.write("tiny", tiny) == tiny
  assert (tiny / "truth.json").stat().st_mtime_ns == before
  with pytest.raises(BadInputError, match="seed 0.*seed 5"):
    synthetic.write("tiny", tiny, seed=5)
  (tmp_path / "thesis.txt").write_text("irreplaceable")
  with pytest.raises(BadInputError, match="other files"):
    synthetic.write("tiny", tmp_path)
  assert (tmp_path / "thesis.txt").read_text() == "irreplaceable"


def test_an_interrupted_run_leaves_nothing_under_the_name_and_can_be_repeated(
  tmp_path, monkeypatch
):
  write_section = writing._write_section

  def interrupted(folder, section, *rest):
    write_section(folder, section, *rest)
    raise KeyboardInterrupt

  monkeypatch.setattr(writing, "_write_section", interrupted)
  with pytest.raises(KeyboardInterrupt):
    synthetic.write("tiny", tmp_path / "tiny")
  assert not (tmp_path / "tiny").exists()
  monkeypatch.undo()
  assert (synthetic.write("tiny", tmp_path / "tiny") / "truth.json").is_file()
  assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_an_unknown_preset_ends_with_status_3_and_the_names_of_the_known_ones(tmp_path):
  command = [sys.executable, "-m", "data_pipelines.synthetic", "--preset=huge"]
  run = subprocess.run(
    [*command, f"--output={tmp_path / 'out'}"], capture_output=True, text=True, check=False
  )
  assert run.returncode == 3
  assert "'huge'" in run.stderr
  assert "tiny, small, easy, medium, hard" in run.stderr
  assert "Traceback" not in run.stderr
  assert not (tmp_path / "out").exists()
