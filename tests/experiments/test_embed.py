"""`experiments.embed` on a finished run: three kinds of input, and every way to get it wrong."""

import dataclasses

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from PIL import Image

import hibio
from data_pipelines import readers
from data_pipelines.loading.corpus import Corpus
from data_pipelines.problems import BadInputError
from data_pipelines.readers import Reader
from hibio import corpora, forward, pretrained, tissue
from hibio.evaluation import gather
from hibio.export import files, results
from hibio.export.files import Request
from hibio.forward import spot_vectors
from tests.experiments.conftest import call


@pytest.fixture(scope="module")
def raw(workdir):
  return workdir.parent / "synthetic-tiny" / "raw"


@pytest.fixture(scope="module")
def out(workdir, raw, tmp_path_factory):
  """The whole folder of raw sections, by the command."""
  path = tmp_path_factory.mktemp("embed") / "all.h5ad"
  done = call(
    "experiments.embed", f"--checkpoint={workdir}", f"--input={raw}", f"--output={path}",
    "--predict_expression",
  )  # fmt: skip
  assert done.returncode == 0, done.stderr[-2000:]
  assert "300 spots in" in done.stderr
  assert "panel genes found" in done.stderr
  assert str(path) in done.stdout
  return anndata.read_h5ad(path)


@pytest.fixture(scope="module")
def one(workdir, raw, tmp_path_factory):
  """An .h5ad file of one section, as a user keeps it: normalised X, counts in a layer."""
  (section,) = [s for s in readers.read_sections(raw) if s.section_id == "D1S1"]
  adata = tissue.of_sections([section])
  adata.layers["counts"] = adata.X.copy()
  adata.X = adata.X.astype(np.float32).log1p()
  path = tmp_path_factory.mktemp("one") / "D1S1.h5ad"
  adata.write_h5ad(path)
  return path


def embedded(workdir, tmp_path, source, **flags):
  output = tmp_path / "out.h5ad"
  files.write(str(workdir), Request(source=source, output=output, **flags))
  return anndata.read_h5ad(output)


def test_a_spot_has_the_embedding_that_evaluation_computes_from_the_corpus(workdir, out):
  corpus = Corpus.open(workdir.parent / "synthetic-tiny" / "corpus")
  model = pretrained.load(workdir)
  genes = np.arange(len(corpus.panel))
  found = spot_vectors(
    forward.frozen(model.model), model.params, corpora.tables_of(corpus),
    gather.every_window(corpus), genes,
  )  # fmt: skip
  names = corpus.spots["section_id"] + "_" + corpus.spots["spot_id"]
  rows = pd.Index(names).get_indexer(out.obs_names)
  assert len(rows) == len(names)
  assert rows.min() >= 0
  # Compiled apart, with other outputs: sums run in another order.
  np.testing.assert_allclose(out.obsm["X_hibio_image"], found.image[rows], atol=1e-5)
  np.testing.assert_allclose(out.obsm["X_hibio_gene"], found.gene[rows], atol=1e-5)
  measured = out.var.loc[out.uns["hibio"]["predicted_genes"], "gene_ids"]
  columns = pd.Index(corpus.panel.ids).get_indexer(measured)
  assert columns.min() >= 0
  # By the readout that is stored with the checkpoint, in both ways.
  cohort = gather.with_model(
    gather.measured(corpus), corpus, "hibio", forward.frozen(model.model), model.params,
    corpora.tables_of(corpus), genes,
  )  # fmt: skip
  cohort = gather.with_stored_readout(cohort, corpus, "hibio", model.readout)
  np.testing.assert_allclose(
    out.obsm["hibio_predicted"], cohort.readout["hibio"][rows][:, columns], atol=2e-3
  )
  assert set(out.uns["hibio"]["sections"]["predicted_by"]) == {results.STORED}
  assert (out.obsm["hibio_predicted_sd"] > 0).mean() > 0.9


def test_the_output_says_how_it_was_made_and_where_everything_lies(workdir, out):
  about = out.uns["hibio"]
  corpus = Corpus.open(workdir.parent / "synthetic-tiny" / "corpus")
  assert about["checkpoint"]["corpus_fingerprint"] == corpus.fingerprint
  assert about["checkpoint"]["panel_hash"] == corpus.panel.hash
  assert about["checkpoint"]["step"] == 12
  assert about["checkpoint"]["window_spots"] == corpus.manifest["window_spots"]
  assert about["settings"]["command"].startswith("python -m experiments.embed --checkpoint=")
  assert about["pathways"].tolist() == list(corpus.gene_set_names)
  assert out.obsm["hibio_pathways"].shape == (300, len(corpus.gene_set_names))
  assert about["sections"].index.tolist() == ["D1S1", "D2S1", "D3S1"]
  assert about["sections"]["um_per_px_source"].str.startswith("lattice pitch of 100 um").all()
  for name in about["sections"].index:
    library = out.uns["spatial"][name]
    height, width = library["images"]["hires"].shape[:2]
    spots = out.obsm["spatial"][out.obs["library_id"] == name]
    on_image = spots * library["scalefactors"]["tissue_hires_scalef"]
    assert (on_image > 0).all()
    assert (on_image < [width, height]).all()
    # Spots of 65 um, 100 um apart.
    nearest = np.sort(np.linalg.norm(spots[:1] - spots[1:], axis=1))[0]
    assert library["scalefactors"]["spot_diameter_fullres"] == pytest.approx(
      0.65 * nearest, rel=0.03
    )


def test_one_section_of_a_folder_and_its_file_give_the_same_vectors(
  workdir, raw, out, one, tmp_path
):
  by_file = embedded(workdir, tmp_path, one, overwrite=True)
  want = out[out.obs["library_id"] == "D1S1"]
  np.testing.assert_allclose(by_file.obsm["X_hibio_gene"], want.obsm["X_hibio_gene"], atol=1e-5)
  assert by_file.uns["hibio"]["sections"]["notes"].tolist() == ["counts from layers['counts']"]
  by_folder = embedded(workdir, tmp_path, raw, sections=("D1S1",), overwrite=True)
  assert by_folder.n_obs == by_file.n_obs
  assert by_folder.obs_names.tolist() == [name.partition("_")[2] for name in want.obs_names]
  np.testing.assert_allclose(by_folder.obsm["X_hibio"], want.obsm["X_hibio"], atol=1e-5)


def test_a_file_that_a_registered_reader_takes_is_read_by_it(
  workdir, raw, out, tmp_path, monkeypatch
):
  def find(path, metadata):
    if not path.name.endswith(".toy"):
      return []
    (source,) = [s for s in readers.open_sections(raw) if s.section_id == "D1S1"]
    return [dataclasses.replace(source, reader="toy")]

  monkeypatch.setitem(readers.READERS, "toy", Reader(find=find, holds="toy files", suffix=".toy"))
  file, output = tmp_path / "one.toy", tmp_path / "toy.h5ad"
  file.touch()
  done = call(
    "experiments.embed", f"--checkpoint={workdir}", f"--input={file}", f"--output={output}"
  )  # fmt: skip
  assert done.returncode == 0, done.stderr[-2000:]
  want = out[out.obs["library_id"] == "D1S1"]
  found = anndata.read_h5ad(output)
  np.testing.assert_allclose(found.obsm["X_hibio"], want.obsm["X_hibio"], atol=1e-5)


def test_an_image_alone_is_read_on_a_grid_and_predicts_the_panel(workdir, raw, tmp_path):
  (section,) = [s for s in readers.read_sections(raw) if s.section_id == "D1S1"]
  got = embedded(
    workdir, tmp_path, section.image.path, um_per_px=section.um_per_px, predict_expression=True
  )
  assert got.var_names.tolist() == got.uns["hibio"]["predicted_genes"].tolist()
  assert np.isfinite(got.layers["hibio_log1p_cp10k"]).all()
  assert got.X is None
  assert got.n_obs > 50
  assert {"X_hibio", "X_hibio_image", "hibio_pathways", "hibio_predicted"} <= set(got.obsm)
  assert "X_hibio_gene" not in got.obsm
  assert got.obsm["hibio_predicted"].shape[1] == len(got.uns["hibio"]["predicted_genes"])
  assert set(got.obs["hibio_sees"]) == {"image"}
  assert {"array_row", "array_col"} <= set(got.obs)
  # At the spots of the section it sees what the whole section's image gives.
  table = tmp_path / "spots.csv"
  pd.DataFrame(section.positions_px, section.spot_ids, ["x", "y"]).to_csv(table)
  spots = embedded(workdir, tmp_path, section.image.path, um_per_px=section.um_per_px,
                   spots=table, overwrite=True)  # fmt: skip
  assert spots.obs_names.tolist() == section.spot_ids.tolist()
  want = hibio.load(workdir).embed(tissue.of_sections([section]))
  np.testing.assert_allclose(spots.obsm["X_hibio"], want.obsm["X_hibio_image"], atol=1e-5)


def test_a_mistake_is_one_line_and_leaves_nothing(workdir, one, tmp_path):
  adata = anndata.read_h5ad(one)
  del adata.obsm["spatial"]
  adata.write_h5ad(tmp_path / "nowhere.h5ad")
  done = call(
    "experiments.embed", f"--checkpoint={workdir}", f"--input={tmp_path / 'nowhere.h5ad'}",
    f"--output={tmp_path / 'out.h5ad'}",
  )  # fmt: skip
  assert done.returncode == 3
  assert "obsm['spatial']" in done.stderr
  assert len(done.stderr.strip().splitlines()) == 1
  assert [path.name for path in tmp_path.iterdir()] == ["nowhere.h5ad"]


def _white(path, adata):
  Image.fromarray(np.full((90, 120, 3), 250, np.uint8)).save(path.with_suffix(".png"))
  return {"source": path.with_suffix(".png"), "um_per_px": 2.0}


def _file(change):
  def make(path, adata):
    change(adata)
    adata.write_h5ad(path)
    return {"source": path}

  return make


def _no_counts(adata):
  del adata.layers["counts"]


def _mouse(adata):
  adata.var_names = [f"ENSMUSG{n:011d}" for n in range(adata.n_vars)]
  del adata.var["gene_ids"], adata.var["gene_symbols"]


def _empty(adata):
  adata.layers["counts"] = scipy.sparse.csr_matrix(adata.shape, dtype=np.int32)


def _no_scale(adata):
  del adata.obs["array_row"], adata.uns["spatial"]
  adata.obsm["spatial"] = np.random.default_rng(0).uniform(0, 99, (adata.n_obs, 2))


BAD = {
  "not raw": (_file(_no_counts), "log-normalised"),
  "another species": (_file(_mouse), "mouse"),
  "no counts at all": (_file(_empty), "spots with counts"),
  "no scale": (_file(_no_scale), "--um_per_px"),
  "no layer": (lambda path, adata: _file(lambda a: None)(path, adata) | {"layer": "umi"}, "umi"),
  "no tissue": (_white, "tissue"),
  "no image scale": (lambda path, adata: _white(path, adata) | {"um_per_px": None}, "--um_per_px"),
  "cut off": (lambda path, adata: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(90))
              and {"source": path}, "damaged"),
  "no such input": (lambda path, adata: {"source": path}, "no such file"),
  "another ending": (lambda path, adata: path.with_suffix(".rds").write_text("x")
                     and {"source": path.with_suffix(".rds")}, ".rds"),
  "a flag of another kind": (lambda path, adata: _white(path, adata) | {"layer": "X"}, "--layer"),
  "no such section": (lambda path, adata: {"source": path.parent.parent / "raw"}, "--section"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_with_what_to_do(workdir, raw, one, tmp_path, case):
  make, words = BAD[case]
  (tmp_path / "raw").symlink_to(raw)
  (tmp_path / "in").mkdir()
  flags = make(tmp_path / "in" / "x.h5ad", anndata.read_h5ad(one))
  if case == "no such section":
    flags["sections"] = ("Z9",)
  output = tmp_path / "out.h5ad"
  with pytest.raises(BadInputError) as caught:
    files.write(str(workdir), Request(output=output, **flags))
  assert words in str(caught.value)
  assert "\n" not in str(caught.value)
  assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "raw"]


def test_a_folder_that_is_no_checkpoint_is_refused(one, tmp_path):
  with pytest.raises(BadInputError, match="checkpoint"):
    files.write(str(tmp_path), Request(source=one, output=tmp_path / "out.h5ad"))
