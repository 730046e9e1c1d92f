import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.loading.corpus import Corpus
from hibio import pretraining
from hibio.configs import TrainingConfig
from hibio.outputs import Keywords, Outputs
from tests.hibio.fake import fake

TABLES = fake(windows=2, spots=6, genes=7, pathways=3)[1]
TRAINING = TrainingConfig(num_steps=1, windows_per_batch=4, sections_per_batch=2)


@pytest.fixture
def corpus(workdir) -> Corpus:
  return Corpus.open(workdir.parent / "synthetic-tiny" / "corpus")


def _outputs(batch) -> Outputs:
  """Images that say which section they are of, and profiles that are all the same."""
  windows, spots = batch.spot_mask.shape
  image = np.zeros((windows, spots, 8), np.float32)
  image[np.arange(windows), :, batch.section_index] = 1.0
  no_gene, one_each = jnp.zeros((windows, spots, 0)), jnp.zeros((windows, spots))
  scalars = ("log_scale", "anchor_log_scale")
  return Outputs(
    image=jnp.asarray(image),
    gene=jnp.ones((windows, spots, 8)),
    anchors=jnp.zeros((0, 8)),
    anchor_offset=jnp.zeros((0, 8)),
    predicted_from_image=no_gene,
    predicted_from_gene=no_gene,
    keywords=Keywords(no_gene.astype(jnp.int32), no_gene, no_gene, no_gene > 0),
    keyword_weight=no_gene,
    region_score_image=one_each,
    region_score_gene=one_each,
    **dict.fromkeys(scalars, jnp.zeros(())),
  )


def _look(corpus, frozen):
  def total(outputs, batch, tables, weights, key):
    return 1.0, {"monitor/spots": batch.spot_mask.sum(), "loss": 1.0}

  return pretraining.held_out(corpus, "train", frozen, total, TRAINING)(None, TABLES)


def test_a_look_says_which_modality_gives_its_section_away(corpus):
  found = _look(corpus, lambda params, batch, tables: _outputs(batch))
  assert found["monitor/section_probe_image"] == 1.0
  chance = found["monitor/section_probe_image_chance"]
  assert 0 < chance < 0.9
  assert found["monitor/section_probe_gene"] == pytest.approx(chance)
  assert found["monitor/spots"] > 0
  assert "loss" not in found  # a weighted sum without its weights


def test_outputs_without_embeddings_are_not_probed(corpus):
  assert _look(corpus, lambda params, batch, tables: None).keys() == {"monitor/spots"}
