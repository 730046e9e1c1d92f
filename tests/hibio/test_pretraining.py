import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.loading.corpus import Corpus
from experiments import hibio as experiment
from hibio import features, pretrained, pretraining
from hibio.batch import Batch
from hibio.configs import ObjectiveConfig, TrainingConfig
from hibio.outputs import Keywords, Outputs
from hibio.training import metrics
from tests.data_pipelines import hand_made
from tests.hibio.colours import Colours
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
    return 1.0, {"monitor/spots": batch.spot_mask.sum(), "loss": jnp.ones(())}

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


def test_a_look_weighs_batches_by_their_pairs(corpus):
  seen = []

  def total(outputs, batch, tables, weights, key):
    pairs = (batch.section_index[0] == 2).astype(jnp.float32)
    return 1.0, {
      "loss/spot": 3.0 + batch.section_index[0].astype(jnp.float32),
      "items/loss/spot": pairs,
    }

  def frozen(params, batch, tables):
    seen.append(int(batch.section_index[0]))

  alone = dataclasses.replace(TRAINING, windows_per_batch=1)
  found = pretraining.held_out(corpus, "train", frozen, total, alone)(None, TABLES)
  assert len(set(seen)) > 1
  assert found == {"loss/spot": 5.0}  # the others have no pair and say nothing


def test_a_look_at_few_windows_shows_each_once(corpus):
  sections = corpus.manifest["sections"]
  windows = sum(s["num_windows"] for s in sections if s["split"] == "test")
  shown = []

  def total(outputs, batch, tables, weights, key):
    return 1.0, {"loss": jnp.ones(())}

  def frozen(params, batch, tables):
    shown.extend(batch.spot_index[:, 0].tolist())

  many = dataclasses.replace(TRAINING, windows_per_batch=64)
  pretraining.held_out(corpus, "test", frozen, total, many)(None, TABLES)
  assert len(shown) == len(set(shown)) == windows


def test_it_is_said_how_many_sections_have_images_and_what_a_pair_is_told_from(
  tmp_path, monkeypatch
):
  corpus = hand_made.corpus(tmp_path, monkeypatch)
  batch = next(pretraining.training_batches(corpus, TRAINING, 1)(0))
  pairs = int((batch.has_patch & batch.spot_mask).sum())
  whole = pretraining.pairing(corpus, batch, ObjectiveConfig(neighbour_radius_um=1.0))
  assert whole == (
    f"images in 1 of 2 training sections; a step has about {pairs} pairs in 4 windows, and each is"
    f" told from about {pairs}"
  )
  padded = jax.tree.map(lambda leaf: np.concatenate([leaf, np.zeros_like(leaf)]), batch)
  assert pretraining.pairing(corpus, padded, ObjectiveConfig(neighbour_radius_um=1.0)) == whole
  near = pretraining.pairing(corpus, batch, ObjectiveConfig(neighbour_radius_um=150.0))
  assert int(near.rpartition(" ")[2]) < pairs - 4
  none = Batch(**{**vars(batch), "has_patch": np.zeros_like(batch.has_patch)})
  assert pretraining.pairing(corpus, none, ObjectiveConfig()).endswith(
    "no pair of an image and a profile"
  )


def test_features_train_a_gene_tower_first_and_then_pairs(tmp_path, monkeypatch, capsys):
  corpus = features.extract(hand_made.corpus(tmp_path, monkeypatch), Colours())
  config = experiment.get_config("test")
  config.update(workdir=str(tmp_path / "run"), corpus=str(corpus.path), features="colours")
  config.model.image_encoder = "features"
  config.model.gene.depth = 0
  config.training.update(num_steps=4, evaluate_every=2, checkpoint_every=4, mesh=(1, 1, 1))
  config.training.stages = (
    {"name": "gene", "share": 0.5, "objectives": ("gene_reconstruction",)},
    {"name": "pairs", "share": 0.5, "objectives": ("spot", "reconstruction")},
  )
  pretraining.run(config)
  assert "images in 1 of 2 training sections" in capsys.readouterr().err
  lines = metrics.read(tmp_path / "run")
  assert [line["stage"] for line in lines] == ["gene", "gene", "pairs", "pairs"]
  assert [line["weight/spot"] for line in lines] == [0.0, 0.0, 1.0, 1.0]
  assert all(line["loss/gene_reconstruction"] > 0 for line in lines)
  assert "loss/region" not in lines[0]
  assert lines[-1]["held_out/loss/spot"] > 0
  model = pretrained.load(tmp_path / "run")
  assert model.features == Colours().about
  assert model.params["image"]["hidden"]["kernel"].shape == (2 * Colours.width, 32)
