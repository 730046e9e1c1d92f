"""What a user meets first: `hibio.load`, `read`, `synthetic_section`, `plot`, and a `Model`."""

import doctest
import tracemalloc

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import hibio
from data_pipelines.problems import BadInputError
from hibio import embed, plotting
from hibio.export import files, results


@pytest.fixture(scope="module")
def model():
  return hibio.load("tiny-synthetic")


@pytest.fixture(scope="module")
def section(model):
  """One section, embedded."""
  return model.embed(hibio.synthetic_section())


def test_every_example_in_the_documentation_runs(model, monkeypatch):
  tissue = {}

  def once(seed=0, preset="small"):
    if preset not in tissue:
      tissue[preset] = made(seed, preset)
    return tissue[preset].copy()

  made = hibio.synthetic_section
  run = 0
  for module in (hibio, embed):
    for case in doctest.DocTestFinder(exclude_empty=True).find(module):
      if not case.examples:
        continue
      monkeypatch.setattr(hibio, "load", lambda path: model)  # one model, compiled once
      monkeypatch.setattr(hibio, "synthetic_section", once)
      found = doctest.DocTestRunner().run(case)
      assert not found.failed, case.name
      run += found.attempted
  assert run >= 20


def test_everything_public_says_what_it_returns_and_shows_how():
  public = [getattr(hibio, name) for name in hibio.__all__ if name != "__version__"]
  methods = ("embed", "predict_expression", "retrieve", "score_gene_sets", "describe")
  for function in (*public, *(getattr(hibio.embed.Model, name) for name in methods)):
    assert function.__annotations__.get("return"), function
    assert ">>> import hibio" in function.__doc__, function


@pytest.mark.parametrize("method", ["embed", "predict_expression"])
def test_a_path_in_place_of_an_anndata_is_one_clear_line(model, method):
  with pytest.raises(BadInputError, match="adata: type: found str, expected an AnnData"):
    getattr(model, method)("sections/A1")


def test_a_legacy_array_has_its_scale_by_its_name_and_a_fix_names_the_argument(model):
  legacy = hibio.synthetic_section()[:81].copy()
  rows, columns = np.mgrid[:9, :9].reshape(2, -1)
  legacy.obs["array_row"], legacy.obs["array_col"] = rows, columns
  legacy.obsm["spatial"] = np.stack([columns, rows], axis=1) * 40.0
  del legacy.uns["spatial"]
  with pytest.raises(BadInputError, match="lattice of known pitch") as problem:
    model.embed(legacy)
  assert problem.value.fix.startswith("say platform=legacy_st if spots are 200 um apart")
  assert "or give um_per_px (1 where" in problem.value.fix
  with pytest.raises(BadInputError, match="platform") as problem:
    model.embed(legacy, platform="legacy")
  assert "legacy_st" in problem.value.fix
  found = model.embed(legacy, platform="legacy_st", domain_um=())
  assert found.uns["hibio"]["sections"]["um_per_px"].tolist() == [pytest.approx(5.0)]


def test_the_version_is_that_of_the_project():
  assert hibio.__version__.count(".") == 2
  with pytest.raises(AttributeError, match="nothing_such"):
    _ = hibio.nothing_such


def test_a_name_that_is_no_model_lists_those_that_come_with_the_library(tmp_path):
  with pytest.raises(BadInputError, match="tiny-synthetic"):
    hibio.load(tmp_path / "nowhere")


def test_synthetic_tissue_is_the_same_for_a_seed_and_another_for_another():
  one, same, other = (hibio.synthetic_section(seed, "tiny") for seed in (0, 0, 1))
  assert (one.X != same.X).nnz == 0
  np.testing.assert_array_equal(one.obsm["spatial"], same.obsm["spatial"])
  assert one.obs["donor_id"].unique().tolist() != other.obs["donor_id"].unique().tolist()
  assert one.uns["planted"]["programs"]["STROMA"].tolist() == [
    *other.uns["planted"]["programs"]["STROMA"]
  ]
  with pytest.raises(BadInputError, match="preset"):
    hibio.synthetic_section(preset="vast")


def test_the_planted_truth_of_synthetic_tissue_shows_in_its_counts():
  adata = hibio.synthetic_section()
  log = np.log1p(1e4 * adata.X.toarray() / adata.X.sum(1).A1[:, None])
  for program in ("GLANDULAR", "FOLLICLE"):
    genes = adata.var_names.isin(adata.uns["planted"]["programs"][program])
    on = adata.obsm["planted_programs"][f"planted {program}"] > 0.9
    rise = log[on][:, genes].mean() - log[~on][:, genes].mean()
    assert rise > 0.2, program


def test_the_model_that_comes_with_the_library_knows_synthetic_tissue(model, section):
  """Held-out donor, H&E alone against chance: leaf regions by their genes, and pathways."""
  programs = section.uns["planted"]["programs"]
  seen = model.embed(section, layer="none", copy=True)
  scores = seen.obsm["hibio_pathways"]
  for program in ("GLANDULAR", "FIBROUS", "EPITHELIUM"):
    planted = section.obsm["planted_programs"][f"planted {program}"]
    assert np.corrcoef(scores[program], planted)[0, 1] > 0.3, program
  markers = {name: programs[name] for name in ("GLANDULAR", "FIBROUS")}
  table = model.score_gene_sets(section, markers, by="gene")
  leaf = section.obs["leaf"]
  assert table["GLANDULAR"][leaf == "epithelium_glandular"].mean() > table["GLANDULAR"].mean()


def test_results_survive_a_file_with_their_names(section, tmp_path):
  section.write_h5ad(tmp_path / "x.h5ad")
  again = anndata.read_h5ad(tmp_path / "x.h5ad")
  pd.testing.assert_frame_equal(again.obsm["hibio_pathways"], section.obsm["hibio_pathways"])
  figure = hibio.plot(again, ["STROMA", "hibio_domain_1"])
  assert [axis.get_title() for axis in figure.axes[:2]] == ["STROMA", "hibio_domain_1"]


def test_what_embed_wrote_is_read_with_its_results(section, tmp_path):
  section.write_h5ad(tmp_path / "embedded.h5ad")
  found = hibio.read(tmp_path / "embedded.h5ad")
  assert "hibio" in found.uns
  np.testing.assert_array_equal(found.obsm["X_hibio"], section.obsm["X_hibio"])
  assert found.obs["hibio_domain_1"].tolist() == section.obs["hibio_domain_1"].tolist()


def test_a_gene_set_without_a_gene_on_the_panel_is_a_column_of_nan(model, section):
  found = model.score_gene_sets(section, {"unknown": ["nope"], "glands": ["GLANDULAR1"]})
  assert list(found.columns) == ["unknown", "glands"]
  assert found["unknown"].isna().all()
  assert found["glands"].notna().any()


def test_one_gene_may_be_given_by_its_name_alone(model, section):
  assert list(model.predict_expression(section, "GLANDULAR1").var_names) == ["GLANDULAR1"]


def test_nothing_to_draw_and_a_misspelt_model_are_one_clear_line(section):
  with pytest.raises(BadInputError, match="found no name"):
    hibio.plot(section, [])
  with pytest.raises(BadInputError, match="did you mean 'tiny-synthetic'"):
    hibio.load("tiny-sinthetic")


def test_a_section_read_from_a_file_is_embedded_with_the_image_in_it(model, section, tmp_path):
  hibio.synthetic_section().write_h5ad(tmp_path / "x.h5ad")
  adata = model.embed(hibio.read(tmp_path / "x.h5ad"))
  assert (adata.obs["hibio_sees"] == "both").all()
  close = (adata.obsm["X_hibio_image"] * section.obsm["X_hibio_image"]).sum(1)
  assert np.median(close) > 0.9  # the same places, by an image that was made smaller


# Predicted expression


def test_predicted_expression_holds_the_genes_that_are_asked_for_alone(model, section):
  every = model.predict_expression(section)
  assert set(every.var_names) == {n for n in section.var_names if n in every.var_names}
  assert np.isfinite(every.X).all()
  two = model.predict_expression(section, ["GLANDULAR3", "FIBROUS1"])
  assert two.var_names.tolist() == ["GLANDULAR3", "FIBROUS1"]
  np.testing.assert_allclose(two.X[:, 0], every[:, "GLANDULAR3"].X.ravel(), atol=1e-5)
  assert "hibio_predicted" not in two.obsm
  assert hibio.plot(two, "FIBROUS1").axes
  with pytest.raises(BadInputError, match="FIBROUS1"):
    model.predict_expression(section, ["FIBROUS1x"])


def test_a_gene_that_was_not_measured_can_be_predicted(model, section):
  without = section[:, section.var_names != "GLANDULAR3"].copy()
  assert "GLANDULAR3" not in model.predict_expression(without).var_names
  found = model.predict_expression(without, ["GLANDULAR3"])
  planted = section.obsm["planted_programs"]["planted GLANDULAR"]
  assert np.corrcoef(found.X.ravel(), planted)[0, 1] > 0.2


def test_predicting_takes_memory_for_the_predicted_genes_and_not_for_all(model):
  """2,000 spots x 18,000 genes, of which the model knows 300: dense they would take 144 MB."""
  spots, genes, known = 2_000, 18_000, 300
  rng = np.random.default_rng(0)
  names = [*model.genes[:known], *(f"OTHER{n}" for n in range(genes - known))]
  counts = scipy.sparse.random(spots, known, 0.3, "csr", random_state=0)
  counts.data = rng.integers(1, 9, counts.nnz).astype(np.float32)
  counts = scipy.sparse.hstack([counts, scipy.sparse.csr_matrix((spots, genes - known))], "csr")
  row, column = np.divmod(np.arange(spots), 50)
  adata = anndata.AnnData(
    X=counts.astype(np.float32),
    obs=pd.DataFrame(index=[f"s{n}" for n in range(spots)]),
    var=pd.DataFrame(index=names),
  )
  adata.obsm["spatial"] = np.stack([column, row], 1) * 100.0
  adata.uns["spatial"] = {"S": {"images": {}, "scalefactors": {"microns_per_pixel": 1.0}}}
  model.predict_expression(adata, genes=names[:2])  # compiled before it is measured
  tracemalloc.start()
  found = model.predict_expression(adata)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert found.shape[1] <= known
  dense = 4 * spots * genes
  assert found.X.nbytes == 4 * spots * found.n_vars
  assert peak < dense / 2, f"{peak / 1e6:.0f} MB"


# Retrieval


def test_a_patch_finds_its_profile_more_often_than_chance_and_back(model, section):
  for query_by, gallery_by in (("image", "gene"), ("gene", "image")):
    found = model.retrieve(section, k=10, query_by=query_by, gallery_by=gallery_by)
    assert len(found) == 10 * section.n_obs
    assert found.groupby("query", observed=True)["similarity"].is_monotonic_decreasing.all()
    hits = (found["query"] == found["match"]).groupby(found["query"]).any().mean()
    assert hits > 2 * 10 / section.n_obs


def test_an_embedding_finds_itself_and_its_nearest_are_the_nearest(model, section):
  own = model.retrieve(section, k=1, query_by="gene", gallery_by="gene")
  assert (own["query"] == own["match"]).mean() > 0.99
  vectors = section.obsm["X_hibio_gene"]
  products = vectors[300] @ vectors.T
  found = model.retrieve(section[300:301].copy(), section, query_by="gene", gallery_by="gene")
  assert found["match"].tolist() == section.obs_names[np.argsort(-products)[:5]].tolist()
  np.testing.assert_allclose(found["similarity"], np.sort(products)[::-1][:5], atol=1e-5)


def test_asking_for_what_no_spot_has_is_refused(model, section):
  counts_only = section.copy()
  del counts_only.uns["spatial"]["D101S1"]["images"]
  for name in results.OBSM:
    counts_only.obsm.pop(name, None)
  del counts_only.uns["hibio"]
  with pytest.raises(BadInputError, match="image"):
    model.retrieve(counts_only)
  with pytest.raises(BadInputError, match="1 or more"):
    model.retrieve(section, k=0)


# Reading and drawing


def test_a_folder_of_sections_is_embedded_as_the_command_embeds_it(workdir, tmp_path):
  raw = workdir.parent / "synthetic-tiny" / "raw"
  model, adata = hibio.load(workdir), hibio.read(raw)
  assert adata.obs["library_id"].nunique() == 3

  def by_command(source, name):
    output = tmp_path / name
    files.write(str(workdir), files.Request(source=source, output=output, domain_um=()))
    return anndata.read_h5ad(output).obsm["X_hibio"]

  want = by_command(raw, "x.h5ad")
  # The full-size image and the genes that each section measures, though `X` holds all of them.
  got = model.embed(adata, domain_um=())
  np.testing.assert_allclose(got.obsm["X_hibio"], want, atol=1e-5)
  got.write_h5ad(tmp_path / "y.h5ad")
  np.testing.assert_allclose(by_command(tmp_path / "y.h5ad", "z.h5ad"), want, atol=1e-5)


def test_a_name_is_looked_up_in_obs_then_genes_then_tables(section):
  shown = section.copy()
  assert plotting.values_of(shown, "H&E") is None
  assert plotting.values_of(shown, "leaf").equals(shown.obs["leaf"])
  np.testing.assert_array_equal(
    plotting.values_of(shown, "GLANDULAR1"), shown[:, "GLANDULAR1"].X.toarray().ravel()
  )
  assert plotting.values_of(shown, "STROMA").equals(shown.obsm["hibio_pathways"]["STROMA"])
  shown.obs["STROMA"] = "mine"
  assert (plotting.values_of(shown, "STROMA") == "mine").all()
  with pytest.raises(BadInputError, match="did you mean 'leaf'"):
    hibio.plot(shown, "leav")


def test_a_plot_has_a_row_a_section_with_the_tissue_under_the_spots(section):
  other = section.copy()
  other.obs["library_id"] = "T"
  both = anndata.concat([section, other], index_unique="-", merge="same")
  (library,) = section.uns["spatial"].values()
  both.uns["spatial"] = {"D101S1": library, "T": library}
  figure = hibio.plot(both, "leaf")
  assert len(figure.axes) == 2
  assert all(len(axis.images) == 1 for axis in figure.axes)
  assert len(hibio.plot(both, "leaf", section="T").axes) == 1
  with pytest.raises(BadInputError, match="D101S1, T"):
    hibio.plot(both, "leaf", section="U")
