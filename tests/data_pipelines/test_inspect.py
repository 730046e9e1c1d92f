"""The report on a folder: everything at once, and an exit status that scripts can use."""

import hashlib
import shutil

import numpy as np
import pytest
from PIL import Image

from data_pipelines import entry, inspect, readers
from data_pipelines.genes import GenePanel
from data_pipelines.preparation import manifest as manifests
from data_pipelines.problems import EXIT_BAD_INPUT, BadInputError
from tests.data_pipelines import annotated, raw_folders


def report(capsys, folder):
  """The exit status of the command, and what it says on stdout or, of bad input, on stderr."""
  try:
    return inspect.report(folder), capsys.readouterr().out
  except BadInputError as problem:
    return EXIT_BAD_INPUT, str(problem)


def test_a_sound_folder_gets_status_0_and_its_numbers(tmp_path, capsys):
  raw_folders.visium(tmp_path / "S" / "outs")
  status, text = report(capsys, tmp_path)
  assert status == 0
  assert "56 spots x 30 genes (Ensembl ids)" in text
  assert "scale: 2 um per pixel of the positions by lattice pitch of 100 um" in text
  assert "1 section, 1 donor, 0 with problems" in text


def test_the_command_reports_and_exits_with_the_status(tmp_path, capsys, monkeypatch):
  raw_folders.visium(tmp_path / "S" / "outs")
  (tmp_path / "table.csv").write_text("section,donor\nS,d9\n")
  argv = ["inspect", f"--input={tmp_path}", f"--metadata={tmp_path / 'table.csv'}"]
  monkeypatch.setattr("sys.argv", argv)
  with pytest.raises(SystemExit, match="^0$"):
    entry.run(inspect.main, inspect.FLAGS)
  assert "donor d9" in capsys.readouterr().out


def test_every_problem_of_every_section_is_in_one_report(tmp_path, capsys):
  raw_folders.visium(tmp_path / "good" / "outs")
  for name, seed in (("bad1", 1), ("bad2", 2)):
    sample = raw_folders.visium(tmp_path / name / "outs", seed=seed)
    sample.write_scalefactors(tissue_hires_scalef=-1)
  (tmp_path / "bad2" / "outs" / "filtered_feature_bc_matrix.h5").write_bytes(b"broken")
  status, text = report(capsys, tmp_path)
  assert status == 1
  assert text.count("PROBLEM") == 3
  assert text.count("tissue_hires_scalef") == 2
  assert "2 with problems: bad1, bad2" in text


def test_every_problem_of_an_annotated_file_is_in_one_report(tmp_path, capsys):
  adata = annotated.adata(annotated.section())
  adata.X = adata.X * 0.5
  adata.obsm["spatial"][3] = np.nan
  adata.obs["in_tissue"] = "perhaps"
  adata.write_h5ad(tmp_path / "S.h5ad")
  text = report(capsys, tmp_path)[1]
  assert text.count("PROBLEM") == 3
  for words in ("counts", "1 spots without a position", "'perhaps'"):
    assert words in text


def test_nothing_usable_is_status_3(tmp_path, capsys):
  sample = raw_folders.visium(tmp_path / "S" / "outs")
  sample.write_scalefactors(tissue_hires_scalef=-1)
  assert report(capsys, tmp_path)[0] == 3
  assert report(capsys, tmp_path / "absent")[0] == 3


def test_a_blank_a_cut_off_and_a_repeated_section_are_problems(tmp_path, capsys):
  for name in ("a", "b", "c"):
    raw_folders.visium(tmp_path / name / "outs")
  hires = tmp_path / "a" / "outs" / "spatial" / "tissue_hires_image.png"
  with Image.open(hires) as image:
    blank = Image.new("RGB", image.size, "white")
  blank.save(hires)
  other = tmp_path / "b" / "outs" / "spatial" / "tissue_hires_image.png"
  status, text = report(capsys, tmp_path)
  assert status == 1
  assert "the image is blank" in text
  assert "same count matrix as in section b" in text
  other.write_bytes(other.read_bytes()[:2000])
  assert "damaged image data" in report(capsys, tmp_path)[1]


def test_genes_are_held_against_a_panel_and_few_are_said(tmp_path, capsys):
  raw_folders.visium(tmp_path / "in" / "S" / "outs")
  assert "few genes, 30, as on a targeted panel" in report(capsys, tmp_path / "in")[1]
  section = readers.read_sections(tmp_path / "in")[0]
  more = tuple(f"ENSG9{n:010d}" for n in range(20))
  panel = GenePanel((*section.gene_ids.tolist(), *more), (*section.gene_symbols.tolist(), *more))
  panel.save(tmp_path / "panel.tsv")
  assert inspect.report(tmp_path / "in", panel=tmp_path / "panel.tsv") == 0
  text = capsys.readouterr().out
  assert "30 of 50 panel genes measured (60%)" in text
  assert "note: few of the panel's genes are measured" in text
  GenePanel(more, more).save(tmp_path / "other.tsv")
  assert inspect.report(tmp_path / "in", panel=tmp_path / "other.tsv") == EXIT_BAD_INPUT
  assert "PROBLEM" in capsys.readouterr().out


def corpus(folder):
  shard = folder / "windows" / "S" / "1.0.0" / "w.array_record"
  shard.parent.mkdir(parents=True)
  shard.write_bytes(np.arange(100).tobytes())
  section = {
    "section_id": "S", "donor_id": "d", "split": "train", "num_spots": 7, "has_image": True,
    "num_windows": 1, "platform": "visium", "species": "human", "content": "0", "num_measured": 9,
    "spot_offset": 0, "um_per_px": 1.0,
  }  # fmt: skip
  manifest = {
    "format": "hibio-corpus", "version": 1, "patch": {"um": 112.0, "px": 32}, "window_spots": 64,
    "panel": {"file": "panel.tsv", "hash": "ab", "num_genes": 9}, "gene_sets": {"names": ["x"]},
    "files": {"windows/S/1.0.0/w.array_record": hashlib.sha256(shard.read_bytes()).hexdigest()},
    "sections": [section], "splits": {"train": ["d"], "validation": [], "test": []},
  }  # fmt: skip
  manifests.write(folder, manifest)
  return shard


def test_a_prepared_corpus_is_checked_file_by_file(tmp_path, capsys):
  shard = corpus(tmp_path)
  status, text = report(capsys, tmp_path)
  assert status == 0
  assert "1 section, 7 spots, 9 genes" in text
  shard.write_bytes(shard.read_bytes()[:-1])
  status, text = report(capsys, tmp_path)
  assert status == 1
  assert "changed since it was written" in text
  shutil.rmtree(shard.parent)
  assert "no such file" in report(capsys, tmp_path)[1]


def test_a_manifest_of_something_else_or_with_holes_is_refused(tmp_path, capsys):
  (tmp_path / "manifest.json").write_text('{"format": "other"}')
  assert report(capsys, tmp_path)[0] == 3
  (tmp_path / "manifest.json").write_text('{"format": "hibio-corpus", "version": 1}')
  status, text = report(capsys, tmp_path)
  assert status == 3
  assert "run the same data_pipelines.prepare command again" in text
