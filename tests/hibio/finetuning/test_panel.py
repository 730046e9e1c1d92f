import dataclasses

import numpy as np
import pytest

from data_pipelines.problems import BadInputError
from hibio import corpora, forward, parameters
from hibio.batch import SectionStatistics
from hibio.model import HiBio
from tests.hibio.finetuning import small

NEW = 5
PARAMS = small.params()
NEIGHBOURS = np.array([[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]])
WEIGHTS = np.array([[1, 1], [3, 1], [1, 0], [0.5, 0.5], [0, 0]], np.float32)


def _wider(values, fill, axis=-1):
  shape = list(values.shape)
  shape[axis] = NEW
  return np.concatenate([values, np.full(shape, fill, values.dtype)], axis=axis)


def _extended_data(measured: bool):
  """The same spots over a panel with genes behind the old ones, which have no counts."""
  batch, tables = small.data()
  s = tables.statistics
  statistics = SectionStatistics(
    measured=_wider(s.measured, measured),
    num_spots=s.num_spots,
    document_frequency=_wider(s.document_frequency, 0),
    mean_fraction=_wider(s.mean_fraction, 0),
    log_mean=_wider(s.log_mean, 0),
    log_std=_wider(s.log_std, 0),
    activity_mean=s.activity_mean,
    activity_std=s.activity_std,
    corpus_document_share=_wider(s.corpus_document_share, 0.01),
    corpus_mean_fraction=_wider(s.corpus_mean_fraction, 0),
    corpus_spatial=_wider(s.corpus_spatial, 0),
  )
  tables = tables.replace(statistics=statistics, membership=_wider(tables.membership, False))
  return batch.replace(counts=_wider(batch.counts, 0)), tables


@pytest.mark.parametrize("measured", [False, True])
def test_new_genes_without_counts_leave_every_embedding_as_it_was(measured):
  before = small.outputs()
  config = dataclasses.replace(small.config(), reference_genes=small.GENES)
  params = parameters.with_new_genes(PARAMS, NEIGHBOURS, WEIGHTS)
  model = HiBio(config, small.GENES + NEW)
  after = forward.frozen(model)(params, *_extended_data(measured))
  for name in ("image", "gene", "anchors"):
    np.testing.assert_array_equal(getattr(after, name), getattr(before, name), name)
  old = np.asarray(after.predicted_from_image)[..., : small.GENES]
  # A wider product sums in another order.
  np.testing.assert_allclose(old, before.predicted_from_image, rtol=1e-4, atol=1e-5)


def test_old_rows_stay_bit_for_bit_and_a_new_one_is_the_mean_of_its_neighbours():
  params = parameters.with_new_genes(PARAMS, NEIGHBOURS, WEIGHTS)
  table, old = np.asarray(params["gene_table"]["embedding"]), PARAMS["gene_table"]["embedding"]
  np.testing.assert_array_equal(table[: small.GENES], old)
  np.testing.assert_allclose(table[small.GENES + 1], 0.75 * old[2] + 0.25 * old[3], rtol=1e-6)
  np.testing.assert_array_equal(table[-1], 0)  # nothing is known of the last one
  np.testing.assert_array_equal(params["gene_bias"][: small.GENES], PARAMS["gene_bias"])
  np.testing.assert_array_equal(params["gene_bias"][small.GENES :], 0)
  rest = [name for name in PARAMS if name not in ("gene_table", "gene_bias")]
  assert all(params[name] is PARAMS[name] for name in rest)


def test_anchors_keep_what_was_learned_under_their_names():
  params = parameters.with_gene_sets(PARAMS, ("a", "b", "c"), ("c", "new", "a", "other"))
  offset, old = np.asarray(params["anchor_offset"]), PARAMS["anchor_offset"]
  np.testing.assert_array_equal(offset[[0, 2]], old[[2, 0]])
  np.testing.assert_array_equal(offset[[1, 3]], 0)


@pytest.mark.parametrize(("known", "names"), [(None, ("a", "b")), (("a", "b", "c"), ())])
def test_unknown_or_no_gene_sets_give_offsets_of_0_in_at_least_one_row(known, names):
  offset = parameters.with_gene_sets(PARAMS, known, names)["anchor_offset"]
  assert offset.shape == (max(len(names), 1), 8)
  np.testing.assert_array_equal(offset, 0)


@pytest.mark.parametrize(("ids", "says"), [
  (("g0", "g2"), "1 of the checkpoint's 2"), (("g1", "g0", "g2"), "in another order"),
])  # fmt: skip
def test_a_panel_that_does_not_begin_with_the_old_genes_is_refused_with_the_fix(ids, says):
  with pytest.raises(BadInputError, match=says) as bad:
    corpora.check_extends(ids, ("g0", "g1"), "corpus", "runs/hibio")
  assert "--extend_panel=runs/hibio/panel.tsv" in str(bad.value)
  corpora.check_extends(("g0", "g1", "g2"), ("g0", "g1"), "corpus", "runs/hibio")


def test_genes_of_another_kind_are_not_sent_to_be_prepared_with_the_panel_that_cannot_help():
  with pytest.raises(BadInputError, match="0 of the checkpoint's 2") as bad:
    corpora.check_extends(("h0", "h1"), ("g0", "g1"), "corpus", "runs/hibio")
  assert "panel.tsv" not in str(bad.value)
  assert "convert the gene names" in bad.value.fix
