"""AnnData through a model: what comes out, in which order, and what is left alone."""

import dataclasses
import shutil

import anndata
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from data_pipelines.problems import BadInputError
from data_pipelines.section import of_section
from hibio import pathways, tissue
from hibio.embed import Model
from hibio.export import counts, files, results, windows
from hibio.export.reader import Reader
from hibio.export.section import fused
from tests.data_pipelines import annotated
from tests.data_pipelines.regions import check_regions
from tests.hibio.export import conftest

PREDICT = {"predict_expression": True}


@pytest.fixture
def both():
  """One section with counts and an image."""
  section = annotated.section()
  return annotated.adata(section, image=annotated.picture(section))


def predicted(adata):
  columns = adata.uns["hibio"]["predicted_genes"]
  return pd.DataFrame(adata.obsm["hibio_predicted"], adata.obs_names, columns)


def unit(vectors):
  return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_results_lie_under_the_names_that_are_promised(model, both):
  out = model.embed(both, predict_expression=True)
  assert out is both
  assert set(out.obsm) == {"spatial", *results.OBSM} - {results.PREDICTED_SD}
  assert set(out.obs) >= {"hibio_sees", "hibio_domain", "hibio_domain_1", "hibio_domain_2"}
  assert set(out.layers) == set(results.LAYERS)
  assert out.obsm["hibio_predicted"].shape == (90, 40)
  assert out.uns["hibio"]["predicted_genes"].tolist() == out.var_names.tolist()
  for name in ("X_hibio", "X_hibio_image", "X_hibio_gene"):
    assert out.obsm[name].shape == (90, 16)
    np.testing.assert_allclose(np.linalg.norm(out.obsm[name], axis=1), 1.0, atol=1e-5)
  np.testing.assert_allclose(
    out.obsm["X_hibio"], unit(out.obsm["X_hibio_image"] + out.obsm["X_hibio_gene"]), atol=1e-6
  )
  assert (out.obs["hibio_sees"] == "both").all()
  assert list(out.obsm["hibio_pathways"]) == ["LEFT", "RIGHT_OTHER", "REST"]
  assert out.obsm["hibio_pathways"].index.equals(out.obs_names)
  assert out.uns["hibio"]["pathways"].tolist() == list(conftest.NAMES)
  assert out.uns["hibio"]["checkpoint"]["step"] == 5


def test_the_rest_of_an_anndata_stays_as_it_was(model, both):
  both.layers["mine"] = both.X.copy()
  both.obs["hibio_domain_7"] = "stale"
  before = both.copy()
  out = model.embed(both, copy=True, **PREDICT)
  assert "X_hibio" not in both.obsm
  assert "hibio_domain_7" not in out.obs
  assert out.obs_names.equals(before.obs_names)
  assert out.var_names.equals(before.var_names)
  for mine, theirs in ((out.X, before.X), (out.layers["mine"], before.layers["mine"])):
    assert (mine != theirs).nnz == 0
  pd.testing.assert_frame_equal(out.obs[["array_row", "side"]], before.obs[["array_row", "side"]])
  np.testing.assert_array_equal(
    out.uns["spatial"]["S"]["images"]["hires"], before.uns["spatial"]["S"]["images"]["hires"]
  )


def test_the_order_of_spots_and_genes_changes_no_spot(model, both):
  rng = np.random.default_rng(0)
  shuffled = both[rng.permutation(both.n_obs), rng.permutation(both.n_vars)].copy()
  want, got = model.embed(both, **PREDICT), model.embed(shuffled, **PREDICT)
  assert predicted(got).columns.tolist() == got.var_names.tolist()
  np.testing.assert_allclose(
    predicted(got).loc[want.obs_names, want.var_names], predicted(want), atol=1e-5
  )
  got = got[want.obs_names]
  for name in ("X_hibio_image", "X_hibio_gene", "hibio_pathways"):
    np.testing.assert_allclose(got.obsm[name], want.obsm[name], atol=1e-5)
  assert (got.obsm["X_hibio_gene"][0] != want.obsm["X_hibio_gene"][1]).any()


def test_one_modality_gives_the_same_vectors_as_both_do(model, both):
  whole = model.embed(both, copy=True, **PREDICT)
  genes = model.embed(annotated.adata(annotated.section()), **PREDICT)
  image = model.embed(both, layer="none", copy=True, **PREDICT)
  assert "X_hibio_image" not in genes.obsm
  assert "X_hibio_gene" not in image.obsm
  for one, name, sees in ((genes, "X_hibio_gene", "gene"), (image, "X_hibio_image", "image")):
    np.testing.assert_allclose(one.obsm[name], whole.obsm[name], atol=1e-5)
    np.testing.assert_allclose(one.obsm["X_hibio"], one.obsm[name], atol=1e-6)
    assert (one.obs["hibio_sees"] == sees).all()
    assert one.uns["hibio"]["sections"]["read_from"].tolist() == [sees]


def test_every_spot_says_what_the_model_had_of_it(model):
  section = annotated.section()
  positions = section.positions_px.copy()
  away = np.ptp(positions, axis=0).max() * 3
  positions[[0, 1]] = [[-900.0, -900.0], [-920.0, -900.0]]  # beside the image, side by side
  positions[2] = [-away * 2, 0.0]  # and far from everybody
  empty = np.isin(np.arange(90), [1, 2, 50])
  counts = scipy.sparse.csr_matrix(section.counts.toarray() * ~empty[:, None])
  adata = annotated.adata(
    dataclasses.replace(section, positions_px=positions, counts=counts),
    image=annotated.picture(section),
  )
  out = model.embed(adata, um_per_px=section.um_per_px, predict_expression=True)
  sees = out.obs["hibio_sees"].astype(str).tolist()
  assert sees[:3] == ["gene", "neighbours", "nothing"]
  assert sees[50] == "image"
  assert (np.array(sees)[np.r_[3:50, 51:90]] == "both").all()
  length = np.linalg.norm(out.obsm["X_hibio"], axis=1)
  assert length[2] == 0
  np.testing.assert_allclose(np.delete(length, 2), 1.0, atol=1e-5)
  scores = out.obsm["hibio_pathways"].to_numpy()
  assert np.isnan(scores[2]).all()
  assert np.isnan(out.obsm["hibio_predicted"][2]).all()
  assert not np.isnan(np.delete(scores, 2, axis=0)).any()
  about = out.uns["hibio"]["sections"].loc["S"]
  assert [about[f"sees_{name}"] for name in results.SEES_VALUES] == [86, 1, 1, 1, 1]


def test_a_mean_counts_only_what_a_spot_has_itself():
  rng = np.random.default_rng(0)
  image, gene = unit(rng.normal(size=(4, 8))), unit(rng.normal(size=(4, 8)))
  known = {"image": np.array([1, 1, 0, 0], bool), "gene": np.array([1, 0, 1, 0], bool)}
  got = fused({"image": image.astype(np.float32), "gene": gene.astype(np.float32)}, known)
  want = np.stack([image[0] + gene[0], image[1], gene[2], image[3] + gene[3]])
  np.testing.assert_allclose(got, unit(want), atol=1e-6)


def test_pathway_scores_are_cosines_with_what_their_genes_make_of_them(model, both):
  out = model.embed(both, **PREDICT)
  tables = Reader.of(model.checkpoint).tables
  members = np.asarray(
    pathways.member_weights(jnp.asarray(tables.membership), jnp.asarray(tables.document_share))
  )
  params = model.checkpoint.params
  table = params["gene_table"]["embedding"]
  anchors = members @ table @ params["anchor"]["kernel"] + params["anchor_offset"]
  want = out.obsm["X_hibio_image"] @ unit(anchors).T
  np.testing.assert_allclose(out.obsm["hibio_pathways"], want, atol=1e-5)
  assert np.ptp(want) > 0.1


def test_domains_are_contiguous_and_nested_and_named_by_section(model):
  one, two = annotated.section("S"), annotated.section("T", seed=1)
  adata = anndata.concat([annotated.adata(one), annotated.adata(two)], merge="same")
  adata.obs["library_id"] = ["S"] * 90 + ["T"] * 90
  adata = adata[np.random.default_rng(0).permutation(180)].copy()
  out = model.embed(adata, domain_um=[245.0, 447.0])
  for name, section in (("S", one), ("T", two)):
    rows = out.obs.loc[out.obs["library_id"] == name]
    levels = [rows[f"hibio_domain_{level}"].astype(str) for level in (1, 2)]
    assert all(value.startswith(f"{name}/") for level in levels for value in level)
    ids = np.stack([pd.factorize(level)[0] for level in levels]).astype(np.int32)
    place = {spot: at for spot, at in zip(section.spot_ids, section.positions_um, strict=True)}
    positions = np.stack([place[spot] for spot in rows.index])
    assert check_regions(ids, positions) == []
    assert len(set(levels[0])) > len(set(levels[1])) > 1


def test_a_domain_has_one_name_in_all_sections_of_a_call(model):
  one, two = annotated.section("S"), annotated.section("T", seed=1)
  adata = anndata.concat([annotated.adata(one), annotated.adata(two)], merge="same")
  adata.obs["library_id"] = ["S"] * 90 + ["T"] * 90
  out = model.embed(adata, domain_um=[447.0], num_domains=2)
  assert out.obs["hibio_domain"].cat.categories.tolist() == ["D1", "D2"]
  # What is left in one section is left in the other.
  share = pd.crosstab(out.obs["hibio_domain"], [out.obs["library_id"], out.obs["side"]])
  assert share["S"].idxmax().equals(share["T"].idxmax())
  assert share["S"].idxmax().nunique() == 2
  assert not out.uns["hibio"]["domain_stability"]["chosen"].loc[3:].any()


def test_predicted_expression_is_in_units_that_compare_sections(model, both):
  """As the model standardises: its own units times the section's spread, about its mean."""
  out = model.embed(both, copy=True, **PREDICT)
  raw = both.X.toarray()
  logs = np.log1p(1e4 * raw / raw.sum(axis=1, keepdims=True))
  want = logs.mean(axis=0) + out.obsm["hibio_predicted"] * np.maximum(logs.std(axis=0), 0.1)
  np.testing.assert_allclose(out.layers[results.LOG1P], np.maximum(want, 0), atol=1e-3)
  alone = model.predict_expression(both, genes=["G3", "G5"])
  np.testing.assert_allclose(
    alone.layers[results.LOG1P], out[:, ["G3", "G5"]].layers[results.LOG1P], atol=1e-6
  )


def test_without_counts_the_level_of_a_gene_is_that_of_training(model, both):
  tables = Reader.of(model.checkpoint).tables
  mean, deviation = tables.log_level(counts.unmeasured(40, 3))
  shown = tables.document_share
  want = shown * np.log1p(1e4 * tables.mean_fraction / shown)
  np.testing.assert_allclose(mean, want, rtol=1e-5)
  assert (deviation >= 0.1).all()
  image = model.embed(both, layer="none", copy=True, **PREDICT)
  units, logs = image.obsm["hibio_predicted"], image.layers[results.LOG1P]
  assert (logs >= 0).all()
  above = logs > 0
  np.testing.assert_allclose(logs[above], (mean + units * deviation)[above], atol=1e-4)


def test_predicted_expression_is_there_for_genes_of_the_panel_alone(model, both):
  foreign = both.copy()
  foreign.var_names = ["FOREIGN", *both.var_names[1:]]
  foreign.var["gene_ids"] = ["ENSG99999999999", *both.var["gene_ids"][1:]]
  out = predicted(model.embed(foreign, **PREDICT))
  assert out.columns.tolist() == both.var_names[1:].tolist()
  assert np.isfinite(out.to_numpy()).all()
  assert np.ptp(out.to_numpy(), axis=0).min() > 0


def test_a_section_becomes_an_anndata_with_image_and_factors(model, tmp_path):
  from tests.data_pipelines import hand_made

  image = hand_made.picture(tmp_path, "S")
  section = hand_made.section("S", "D", image=image)
  out = model.embed(tissue.of_sections([section]))
  factors = out.uns["spatial"]["S"]["scalefactors"]
  assert out.uns["spatial"]["S"]["images"]["hires"].shape == (220, 260, 3)
  assert factors["tissue_hires_scalef"] == 1.0
  assert factors["spot_diameter_fullres"] == pytest.approx(65 / section.um_per_px)
  np.testing.assert_array_equal(out.obsm["spatial"], section.positions_px)
  again = model.embed(out.copy())
  np.testing.assert_allclose(out.obsm["X_hibio"], again.obsm["X_hibio"], atol=1e-5)


def test_sections_with_other_genes_are_put_together_without_losing_any(model):
  one, two = annotated.section("S"), annotated.section("T", "E", seed=1)
  part = dataclasses.replace(
    two, counts=two.counts[:, 5:], gene_ids=two.gene_ids[5:], gene_symbols=two.gene_symbols[5:]
  )
  two_alone = model.embed(tissue.of_sections([part]))
  out = model.embed(tissue.of_sections([one, part]), domain_um=())
  assert out.shape == (180, 40)
  np.testing.assert_array_equal(out.varm["measured"].sum(0), [40, 35])
  np.testing.assert_allclose(
    out[out.obs["library_id"] == "T"].obsm["X_hibio"], two_alone.obsm["X_hibio"], atol=1e-5
  )
  assert not [name for name in out.obs if name.startswith("hibio_domain")]


def test_a_gene_has_one_column_whichever_of_its_namesakes_a_section_measures():
  one, two = annotated.section("S"), annotated.section("T", "E", seed=1)
  symbols = np.where(np.arange(40) == 7, "G6", one.gene_symbols)  # G6 stands for two genes
  one = dataclasses.replace(one, gene_symbols=symbols)
  keep = np.arange(40) != 7
  two = dataclasses.replace(
    two, counts=two.counts[:, keep], gene_ids=two.gene_ids[keep], gene_symbols=symbols[keep]
  )
  out = tissue.of_sections([two, one])
  assert sorted(out.var["gene_ids"]) == sorted(one.gene_ids)
  assert list(out.var_names[out.var["gene_symbols"] == "G6"]) == one.gene_ids[6:8].tolist()
  by_id = out[:, [out.var["gene_ids"].tolist().index(i) for i in one.gene_ids]]
  np.testing.assert_array_equal(by_id.X[90:].toarray(), one.counts.toarray())
  np.testing.assert_array_equal(by_id.X[:90].toarray()[:, keep], two.counts.toarray())


# Files


@pytest.fixture
def add_to_file(monkeypatch):
  """What the command does to a file, with a model that lies in no folder."""

  def add(model, source, output, **flags):
    monkeypatch.setattr(files.pretrained, "load", lambda path: model.checkpoint)
    files.write("", files.Request(source=source, output=output, **flags))

  return add


def test_a_file_gets_what_an_object_gets_and_keeps_every_other_byte(
  model, tmp_path, both, add_to_file
):
  both.obs["library_id"] = "S"
  other = annotated.adata(annotated.section("T", seed=1))
  other.obs["library_id"] = "T"
  mixed = anndata.concat([both, other], merge="same", uns_merge="unique")
  mixed = mixed[np.random.default_rng(0).permutation(180)].copy()
  mixed.raw = mixed.copy()
  source, output = tmp_path / "in.h5ad", tmp_path / "out.h5ad"
  mixed.write_h5ad(source)
  content = source.read_bytes()
  add_to_file(model, source, output, domain_um=(283.0, 490.0), **PREDICT)
  assert source.read_bytes() == content
  got, want = anndata.read_h5ad(output), model.embed(mixed, domain_um=[283.0, 490.0], **PREDICT)
  for name in (results.FUSED, results.IMAGE, results.GENE, results.PREDICTED):
    np.testing.assert_array_equal(got.obsm[name], want.obsm[name])
  pd.testing.assert_frame_equal(got.obsm["hibio_pathways"], want.obsm["hibio_pathways"])
  assert got.uns["hibio"]["predicted_genes"].tolist() == mixed.var_names.tolist()
  pd.testing.assert_frame_equal(got.obs, want.obs)
  assert (got.X != mixed.X).nnz == 0
  assert (got.raw.X != mixed.raw.X).nnz == 0
  np.testing.assert_array_equal(
    got.uns["spatial"]["S"]["images"]["hires"], mixed.uns["spatial"]["S"]["images"]["hires"]
  )
  without_image = got.obs["library_id"] == "T"
  assert not got.obsm["X_hibio_image"][without_image].any()
  assert got.uns["hibio"]["pathways"].tolist() == list(conftest.NAMES)
  assert got.uns["hibio"]["sections"].loc["T", "read_from"] == "gene"


def test_a_file_with_results_can_be_read_again_and_keeps_none_of_them(model, tmp_path, add_to_file):
  first = tmp_path / "first.h5ad"
  made = model.embed(
    annotated.adata(annotated.section("in")), domain_um=[245.0, 346.0, 632.0], **PREDICT
  )
  made.write_h5ad(first)
  again = tmp_path / "again.h5ad"
  add_to_file(model, first, again, domain_um=(283.0,))
  got = anndata.read_h5ad(again)
  assert [name for name in got.obs if "hibio" in name] == [
    "hibio_sees", *results.PATCH_FLAGS, "hibio_domain_1", "hibio_domain",
  ]  # fmt: skip
  assert "hibio_predicted" not in got.obsm
  assert not got.layers
  np.testing.assert_array_equal(got.obsm["X_hibio"], made.obsm["X_hibio"])


def test_what_is_wrong_with_patches_is_in_obs_of_an_object_and_of_a_file(
  model, tmp_path, add_to_file
):
  section = annotated.section()
  pixels = annotated.picture(section)
  pixels[: len(pixels) // 2] = 0
  adata = annotated.adata(section, image=pixels)
  adata.write_h5ad(tmp_path / "in.h5ad")
  add_to_file(model, tmp_path / "in.h5ad", tmp_path / "out.h5ad", domain_um=())
  for found in (model.embed(adata, domain_um=()), anndata.read_h5ad(tmp_path / "out.h5ad")):
    on_top = found.obsm["spatial"][:, 1] * 0.2 < len(pixels) / 2 - 5
    assert found.obs["hibio_inked"].to_numpy()[on_top].all()
    assert not found.obs["hibio_inked"].to_numpy()[~on_top].all()
    assert found.obs["hibio_padded"].dtype == bool


def test_spots_of_another_pitch_than_in_training_are_said_with_both(model, capsys):
  adata, checkpoint = annotated.adata(annotated.section()), model.checkpoint
  for pitch_um, said in ((200.0, True), (110.0, False), (None, False)):
    trained = [{"section_id": "T", "split": "train", "pitch_um": pitch_um}]
    meta = checkpoint.meta | {"corpus": checkpoint.meta["corpus"] | {"sections": trained}}
    Model(dataclasses.replace(checkpoint, meta=meta)).embed(adata, domain_um=(), copy=True)
    both = "lie 100 um apart, and the model was trained on spots 200 um apart"
    assert (both in capsys.readouterr().err) == said


def test_every_method_takes_the_length_that_an_object_does_not_state(model):
  adata = annotated.adata(annotated.section())
  del adata.obs["array_row"], adata.obs["array_col"]
  adata.obsm["spatial"] = adata.obsm["spatial"] @ [[1.0, 0.0], [0.0, 1.3]]  # no lattice at all
  sets = {"one": list(adata.var_names[:5])}
  for ask in (
    lambda **said: model.predict_expression(adata, **said),
    lambda **said: model.retrieve(adata, query_by="gene", **said),
    lambda **said: model.score_gene_sets(adata, sets, by="gene", **said),
    lambda **said: model.keyword_scores(adata, **said),
    lambda **said: model.pathway_activity(adata, **said),
  ):
    with pytest.raises(BadInputError, match="micrometres per pixel"):
      ask()
    assert len(ask(um_per_px=5.0))


def test_nothing_is_left_behind_when_a_section_cannot_be_read(model, tmp_path, add_to_file):
  adata = annotated.adata(annotated.section())
  adata.X.data[-1] = 0.5
  adata.obs["library_id"] = "S"
  adata.layers["counts"] = adata.X
  source, output = tmp_path / "in.h5ad", tmp_path / "out.h5ad"
  adata.write_h5ad(source)
  with pytest.raises(BadInputError):
    add_to_file(model, source, output, domain_um=())
  assert [path.name for path in tmp_path.iterdir()] == ["in.h5ad"]
  before = adata.copy()
  with pytest.raises(BadInputError):
    model.embed(adata)
  assert set(adata.obsm) == set(before.obsm)
  assert set(adata.obs) == set(before.obs)


def test_an_output_that_is_there_or_has_no_folder_is_refused(tmp_path):
  (tmp_path / "there.h5ad").write_text("mine")
  for output, overwrite in (
    (tmp_path / "there.h5ad", False),
    (tmp_path / "nowhere" / "x.h5ad", True),
    (tmp_path / "x.txt", True),
  ):
    with pytest.raises(BadInputError, match="--output"):
      files.check_output(output, overwrite)
  files.check_output(tmp_path / "there.h5ad", True)


# Models and genes


def test_tables_that_are_damaged_or_of_another_model_are_refused(model, tmp_path):
  genes, anchors = 40, len(conftest.NAMES)
  path = tmp_path / "corpus.npz"
  shutil.copy(model.checkpoint.workdir / "corpus.npz", path)
  assert counts.CorpusTables.read(tmp_path, genes, anchors).names == conftest.NAMES
  with pytest.raises(BadInputError, match="genes"):
    counts.CorpusTables.read(tmp_path, genes + 1, anchors)
  with pytest.raises(BadInputError, match="gene sets"):
    counts.CorpusTables.read(tmp_path, genes, anchors + 1)
  path.write_bytes(path.read_bytes()[:200])
  with pytest.raises(BadInputError, match="damaged"):
    counts.CorpusTables.read(tmp_path, genes, anchors)
  path.unlink()
  with pytest.raises(BadInputError, match="once more"):
    counts.CorpusTables.read(tmp_path, genes, anchors)


def test_genes_of_another_species_are_refused_with_names_of_both_sides(model):
  adata = annotated.adata(annotated.section())
  adata.var["gene_ids"] = [f"ENSMUSG{n:011d}" for n in range(40)]
  adata.var_names = [f"Gene{n}x" for n in range(40)]
  with pytest.raises(BadInputError) as caught:
    model.embed(adata)
  for words in ("mouse", "human", "ENSMUSG00000000000", "ENSG00000000000"):
    assert words in str(caught.value)


def test_a_table_of_names_finds_the_genes_that_only_have_symbols(model, tmp_path):
  section = annotated.section()
  adata = annotated.adata(section)
  want = model.embed(adata, copy=True)
  adata.var_names = [f"OLD{n}" for n in range(40)]
  del adata.var["gene_ids"]
  with pytest.raises(BadInputError, match="genes"):
    model.embed(adata)
  rows = [f"OLD{n}\t{symbol}" for n, symbol in enumerate(section.gene_symbols)]
  (tmp_path / "names.tsv").write_text("alias\tsymbol\n" + "\n".join(rows) + "\n")
  got = model.embed(adata, gene_names=tmp_path / "names.tsv")
  np.testing.assert_array_equal(got.obsm["X_hibio"], want.obsm["X_hibio"])


def test_windows_hold_each_spot_once_with_its_own_counts(model):
  section = annotated.section()
  shape = windows.Shape(24, 16, 100.0, 40)
  streamed = of_section(section)

  def counts(rows):
    assert (np.diff(rows) > 0).all()  # HDF5 reads nothing else
    return section.counts[rows]

  seen = []
  for spots, batch in windows.batches(streamed, counts, np.ones(90, bool), shape):
    real = spots >= 0
    np.testing.assert_array_equal(batch.spot_mask, real)
    np.testing.assert_array_equal(batch.counts[real], section.counts.toarray()[spots[real]])
    np.testing.assert_allclose(batch.positions_um[real], section.positions_um[spots[real]])
    assert not batch.has_patch.any()
    seen += spots[real].tolist()
  assert sorted(seen) == list(range(90))
