"""What is shown is what was measured: patches, ranks, clusters, correlations, pathways."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from data_pipelines.loading import loader
from data_pipelines.loading.corpus import Corpus
from hibio import corpora, pathways, pretrained
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.setting import Setting
from hibio.report import collect
from hibio.report.collect import NUM_HITS, retrieval_examples, spot_patches
from hibio.report.exhibits import Exhibits
from hibio.report.label_maps import compared, named_after
from hibio.report.shown_sections import ShownSections
from hibio.report.value_maps import at_quantiles, in_sections, pathway_maps
from tests.hibio.report.conftest import row


@pytest.fixture(scope="module")
def corpus(workdir) -> Corpus:
  return Corpus.open(workdir.parent / "synthetic-tiny" / "corpus")


@pytest.fixture(scope="module")
def model(workdir) -> pretrained.Pretrained:
  return pretrained.load(workdir)


@pytest.fixture(scope="module")
def setting(evaluation) -> Setting:
  return evaluation.setting


@pytest.fixture(scope="module")
def cohort(setting) -> Cohort:
  return setting.cohort


@pytest.fixture(scope="module")
def held_out(setting) -> Cohort:
  return setting.scored


@pytest.fixture(scope="module")
def shown(setting) -> Exhibits:
  return collect.exhibits(dataclasses.replace(setting, labels=("leaf",)))


def test_every_task_with_something_to_show_shows_it(shown):
  assert {row.task for row in shown.map_rows} == {
    "domains", "annotation", "expression", "keywords", "anchors", "regions"
  }  # fmt: skip
  assert shown.absent == ()
  assert shown.curves[-1]["step"] == 12


def test_only_held_out_donors_are_shown(shown, corpus):
  held_out = set(corpus.manifest["splits"]["test"])
  assert shown.tissues
  assert {tissue.donor_id for tissue in shown.tissues} <= held_out


def test_confusions_count_every_held_out_spot_once(shown, held_out):
  assert {confusion.matrix.sum() for confusion in shown.confusions} == {len(held_out.spots)}


def test_measured_genes_are_the_counts_of_the_section(shown, held_out, corpus):
  row = next(row for row in shown.map_rows if row.task == "expression")
  symbol = row.maps[0].title.removesuffix(", measured")
  gene = corpus.panel.symbols.index(symbol)
  tissue = shown.tissues[0]
  own = held_out.subset((held_out.spots["section_id"] == tissue.section_id).to_numpy())
  want = own.log_expression(np.array([gene]))[:, 0]
  np.testing.assert_allclose(row.maps[0].values[tissue.section_id], want, rtol=1e-6)


def test_without_labels_the_reason_is_shown(setting):
  found = collect.exhibits(dataclasses.replace(setting, labels=()))
  assert [one.reason for one in found.absent] == ["the corpus has no labels"]
  assert not found.confusions
  domains = next(row for row in found.map_rows if row.title.startswith("Domains"))
  assert "no labels" in domains.explanation


def test_patches_are_those_that_the_loader_gives(corpus):
  rows = np.array([7, 3, len(corpus.spots) - 1, 120])
  found = spot_patches(corpus, rows)
  every = np.zeros((len(corpus.spots), *found.shape[1:]), np.uint8)
  for batch in loader.windows_once(corpus, corpora.SPLITS, windows_per_batch=4):
    real = batch["spot_mask"]
    every[batch["spot_index"][real]] = batch["patches"][real]
  np.testing.assert_array_equal(found, every[rows])


def test_examples_rank_and_hit_as_brute_force_does(shown, corpus, held_out, model):
  image, gene = held_out.features["hibio/image"], held_out.features["hibio/gene"]
  unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (image, gene)]
  cosines = unit[0] @ unit[1].T
  patches = spot_patches(corpus, held_out.spots["spot_index"].to_numpy())
  for one in shown.retrievals:
    (query,) = np.flatnonzero((patches == one.patch).all((1, 2, 3)))
    assert one.rank == 1 + (cosines[query] > cosines[query, query]).sum()
    assert one.gallery == len(held_out.spots)
    best = np.sort(cosines[query])[::-1][:NUM_HITS]
    np.testing.assert_allclose([hit.cosine for hit in one.hits], best, atol=1e-5)
    assert any(hit.is_query for hit in one.hits) == (one.rank <= NUM_HITS)


def test_examples_are_the_same_each_time_and_not_the_easy_ones(corpus, held_out, model):
  # A perfect embedding finds itself first; examples drawn for success could not tell it from ours.
  perfect = dataclasses.replace(
    held_out, features={**held_out.features, "hibio/image": held_out.features["hibio/gene"]}
  )
  tables, config = corpora.tables_of(corpus), model.model.config.keywords
  found = [retrieval_examples(one, corpus, tables, config) for one in (held_out, perfect)]
  assert [one.patch.tobytes() for one in found[0]] == [one.patch.tobytes() for one in found[1]]
  assert {one.rank for one in found[1]} == {1}
  assert all(one.hits[0].is_query for one in found[1])


def test_pathways_are_seen_where_the_image_lies_at_their_anchor(corpus, held_out):
  tables = corpora.tables_of(corpus)
  count = len(tables.membership)
  anchors = np.eye(count, dtype=np.float32)
  section_row = {s["section_id"]: row for row, s in enumerate(corpus.manifest["sections"])}
  activity = np.zeros((len(held_out.spots), count), np.float32)
  for section, rows in held_out.sections():
    counts = jnp.asarray(held_out.counts[rows].toarray().astype(np.int32))[None]
    index = jnp.array([section_row[section]], jnp.int32)
    activity[rows] = pathways.standardised_activity(
      counts, tables.statistics, jnp.asarray(tables.membership), index
    )[0]
  told = dataclasses.replace(held_out, features={"hibio/image": activity})
  rng = np.random.default_rng(0)
  blind = dataclasses.replace(
    held_out, features={"hibio/image": rng.normal(size=activity.shape).astype(np.float32)}
  )
  best = []
  for one in (told, blind):
    rows, absent = pathway_maps(one, ShownSections(corpus, one), corpus, tables, anchors, 1.0)
    assert not absent
    best.append(max(float(f.split()[1]) for f in rows[0].maps[1].figures.values()))
  assert best[0] > 0.9
  assert best[1] < 0.3


def test_clusters_take_the_name_of_the_label_they_overlap_most():
  truth = np.array(["a"] * 5 + ["b"] * 5 + ["c"] * 2)
  clusters = np.array([2, 2, 2, 2, 0, 0, 0, 0, 0, 0, 1, 1])
  want = ["a"] * 4 + ["b"] * 6 + ["c"] * 2
  assert named_after(clusters, truth).tolist() == want


def test_clusters_beyond_the_labels_stay_unnamed():
  names = named_after(np.array([0, 0, 1, 2]), np.array(["a", "a", "a", "b"]))
  assert names.tolist() == ["a", "a", "domain 2", "b"]


def test_correlations_are_those_of_scipy(held_out):
  rng = np.random.default_rng(0)
  one, other = (rng.normal(size=(len(held_out.spots), 3)) for _ in range(2))
  one[:, 2] = 1.0
  for section, rows in held_out.sections():
    found = in_sections(held_out, one, other)[section]
    want = [scipy.stats.pearsonr(one[rows, k], other[rows, k])[0] for k in range(2)]
    np.testing.assert_allclose(found[:2], want, atol=1e-6)
    assert np.isnan(found[2])


def test_places_are_decided_by_rank_alone():
  score = np.array([0.3, np.nan, 0.9, 0.1, 0.5, 0.7])
  assert at_quantiles(score) == [
    [("best", 2), ("upper quartile", 5)], [("median", 4), ("worst", 3)]
  ]  # fmt: skip
  assert at_quantiles(np.array([0.5])) == [[("best", 0)]]
  assert at_quantiles(np.array([np.nan])) == []


def test_a_section_of_each_donor_comes_before_a_second_one(corpus, cohort):
  every = ShownSections(corpus, cohort).ids
  donors = {s["section_id"]: s["donor_id"] for s in corpus.manifest["sections"]}
  assert len(every) == 3
  assert len({donors[name] for name in every}) == min(3, len(set(donors.values())))


def test_labelled_sections_come_first(corpus, cohort):
  last = list(cohort.sections())[-1][0]
  labels = np.where(cohort.spots["section_id"] == last, "stroma", "")
  some = dataclasses.replace(cohort, spots=cohort.spots.assign(drawn=labels))
  assert ShownSections(corpus, some, "drawn").ids[0] == last
  assert ShownSections(corpus, some).ids[0] != last


def test_pictures_show_the_baseline_that_the_summary_names():
  rows = [
    row("annotation", "hibio/image", 0.6), row("annotation", "colour/image", 0.5),
    row("annotation", "texture/image", 0.7), row("domains", "pca/gene", 0.9),
  ]  # fmt: skip
  assert compared(rows, "annotation", "hibio") == {
    "hibio/image": "HiBio-ST, from H&E",
    "texture/image": "texture, best baseline from H&E",
  }
