"""Finetuning in this process: a checkpoint made by hand, a corpus of three donors, a few steps."""

import dataclasses
import json
import os
import shutil
import signal
from pathlib import Path

import jax
import numpy as np
import pytest

from data_pipelines.genes import GenePanel
from data_pipelines.loading.corpus import Corpus
from data_pipelines.prepare import PrepareOptions, prepare
from data_pipelines.problems import BadInputError
from hibio import corpora, forward, pretrained, pretraining
from hibio.configs import AugmentationConfig, ObjectiveConfig, TrainingConfig
from hibio.finetuning import forward as finetuned
from hibio.finetuning import run as finetuning
from hibio.finetuning import scores
from hibio.finetuning.config import FinetuningConfig
from hibio.model import HiBio
from hibio.training import metrics
from hibio.training.description import describe
from hibio.training.stopping import RunStopped
from tests.data_pipelines import hand_made
from tests.hibio.finetuning import small

LABELS = FinetuningConfig(task="annotation", trainable="lora", rank=2, label="side")
TRAINING = TrainingConfig(
  num_steps=8,
  windows_per_batch=4,
  sections_per_batch=2,
  learning_rate=0.002,
  warmup_share=0.0,
  mesh=(1, 1, 1),
  log_every=1,
  evaluate_every=0,
  checkpoint_every=2,
  augmentation=AugmentationConfig(stain_strength=0.0, stain_shift=0.0),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("finetuning")


@pytest.fixture(scope="module")
def corpus(folder):
  """Donors A and C to train on, B held out; 40 genes, half of the spots "left", half "right"."""
  with pytest.MonkeyPatch.context() as patch:
    names = ("A1", "B1", "C1")
    sections = [
      hand_made.section(name, name[0], image=hand_made.picture(folder, name)) for name in names
    ]
    hand_made.hand_over(patch, map(hand_made.Source, sections))
    options = PrepareOptions(
      gene_sets=(hand_made.gene_sets(folder),), window_spots=16, test_donors=("B",),
      patch_um=80.0, patch_px=8, region_um=(283.0, 490.0),
    )  # fmt: skip
    prepare([folder], folder / "corpus", options)
  return Corpus.open(folder / "corpus")


def _source(corpus, ids, workdir_of=Path("runs/pretrained"), train=("Z",)):
  """A checkpoint that knows these genes, drawn at random."""
  model = HiBio(small.config(depth=1), len(ids))
  shapes = small.params(depth=1)
  rng = np.random.default_rng(0)

  def drawn(path, leaf):
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    shape = {"gene_table/embedding": (len(ids), 8), "gene_bias": (len(ids),)}.get(name, leaf.shape)
    return rng.normal(scale=0.3, size=shape).astype(np.float32)

  panel = GenePanel(tuple(ids), tuple(ids))
  manifest = {
    "fingerprint": "0",
    "sections": [{"section_id": "z", "donor_id": "Z", "content": "0a", "split": "train"}],
    "patch": {"um": 112.0, "px": model.config.patch_px},
    "window_spots": 64,
    "gene_sets": {"names": ["left", "right", "other"]},
    "splits": {"train": list(train), "validation": [], "test": []},
  }
  config = {
    "model": dataclasses.asdict(model.config),
    "objectives": dataclasses.asdict(ObjectiveConfig(max_regions=16)),
    "training": dataclasses.asdict(TRAINING),
  }
  meta = describe(config, panel, manifest) | {"step": 7}
  params = jax.tree_util.tree_map_with_path(drawn, shapes)
  return pretrained.Pretrained(workdir_of, model, params, meta)


def _remembered(folder, corpus, names=(), genes=40):
  """A work directory that holds what a run took for granted of the first `genes` genes."""
  folder.mkdir(exist_ok=True)
  keys = ("document_share", "mean_fraction", "spatial")
  np.savez(
    folder / "corpus.npz",
    names=np.array(names or corpus.gene_set_names),
    pathway=np.zeros(0, int),
    gene=np.zeros(0, int),
    **{key: corpus.statistics[f"corpus_{key}"][:genes] for key in keys},
  )
  return folder


@pytest.fixture(scope="module")
def source(corpus, folder):
  """Knows all genes and gene sets of the corpus."""
  return _source(corpus, corpus.panel.ids, _remembered(folder / "pretrained", corpus))


@pytest.fixture(autouse=True)
def unscored(monkeypatch):
  """Scoring compiles the whole model once more; the command's test does it."""
  monkeypatch.setattr(scores, "report", lambda *_: "")


def _run(source, corpus, folder, config=LABELS, **changes):
  finetuning.finetune(source, corpus, folder, config, dataclasses.replace(TRAINING, **changes))
  return pretrained.read_params(folder)[0]


@pytest.fixture(scope="module")
def run(folder, source, corpus):
  """A finished run that learns labels with adapters, and all its parameters."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(scores, "report", lambda *_: "")
    return folder / "run", _run(source, corpus, folder / "run")


def _losses(folder):
  return [line["loss"] for line in metrics.read(folder)]


def test_the_model_under_adapters_keeps_every_bit_and_the_rest_moves(run, source):
  jax.tree.map(np.testing.assert_array_equal, run[1]["model"], source.params)
  added = small.names(run[1]["adapters"])
  assert {name.split("/")[0] for name in added} == {"image", "context_image"}
  assert all(np.any(leaf) for leaf in added.values())
  assert np.any(run[1]["heads"]["annotation"]["kernel"])


def test_it_begins_at_chance_and_learns_which_side_a_spot_lies_on(run):
  lines = metrics.read(run[0])
  assert lines[0]["loss"] == pytest.approx(np.log(2), rel=1e-5)
  assert lines[0]["chance/annotation"] == pytest.approx(np.log(2), rel=1e-5)
  assert np.mean([line["loss"] for line in lines[-4:]]) < 0.95 * lines[0]["loss"]
  assert {line["stage"] for line in lines} == {"annotation"}


def test_stopped_and_started_again_it_is_bit_for_bit_the_run_that_never_stopped(
  run, source, corpus, tmp_path, monkeypatch
):
  batches = pretraining.training_batches

  def stopping(*arguments):
    def drawn(step):
      for number, batch in enumerate(batches(*arguments)(step), step + 1):
        if number == 2:
          os.kill(os.getpid(), signal.SIGTERM)
        yield batch

    return drawn

  with monkeypatch.context() as patch:
    patch.setattr(pretraining, "training_batches", stopping)
    with pytest.raises(RunStopped) as stopped:
      _run(source, corpus, tmp_path)
  assert stopped.value.code == 75
  again = _run(source, corpus, tmp_path)
  jax.tree.map(np.testing.assert_array_equal, again, run[1])
  assert _losses(tmp_path) == _losses(run[0])


def test_it_loads_as_a_plain_model_with_the_adapters_merged_and_the_head_beside(run, corpus):
  model, tables = pretrained.load(run[0]), corpora.tables_of(corpus)
  shapes = jax.eval_shape(
    lambda: forward.initial_params(model.model, corpora.first_window(corpus), tables, 0)
  )
  assert jax.tree.map(np.shape, model.params) == jax.tree.map(np.shape, shapes)
  kernel = ("image", "transformer", "block_0", "mlp", "up")
  found, before, added = model.params, run[1]["model"], run[1]["adapters"]
  for name in kernel:
    found, before, added = found[name], before[name], added[name]
  want = before["kernel"] + LABELS.scale * added["a"] @ added["b"]
  np.testing.assert_allclose(found["kernel"], want, rtol=1e-5, atol=1e-6)
  jax.tree.map(np.testing.assert_array_equal, model.params["gene"], run[1]["model"]["gene"])
  jax.tree.map(np.testing.assert_array_equal, model.heads, run[1]["heads"])


def test_it_says_where_it_comes_from_and_whom_that_was_trained_on(run, source):
  model = pretrained.load(run[0])
  assert sorted(model.train_donors) == ["A", "C", "Z"]
  config = json.loads((run[0] / "config.json").read_text())
  assert config["source"]["workdir"] == str(source.workdir)
  assert config["source"]["step"] == 7
  assert config["source"]["panel_hash"] == source.panel_hash
  assert config["finetuning"]["label_names"] == ["left", "right"]
  assert model.describe()["heads"] == ["annotation"]


def test_another_checkpoint_or_another_label_is_refused_and_a_moved_checkpoint_is_not(
  run, source, corpus, tmp_path
):
  shutil.copytree(run[0], tmp_path / "run")
  other = dataclasses.replace(
    source, params={**source.params, "log_scale": source.params["log_scale"] + 1}
  )
  with pytest.raises(BadInputError, match=r"source\.parameters_sha256"):
    _run(other, corpus, tmp_path / "run")
  with pytest.raises(BadInputError, match=r"finetuning\.rank: found 4 asked for"):
    _run(source, corpus, tmp_path / "run", dataclasses.replace(LABELS, rank=4))
  moved = dataclasses.replace(source, workdir=_remembered(tmp_path / "elsewhere", corpus))
  _run(moved, corpus, tmp_path / "run")


def test_new_genes_are_learned_while_the_old_model_stays(corpus, tmp_path):
  source = _source(corpus, corpus.panel.ids[:30], _remembered(tmp_path / "old", corpus, genes=30))
  config = dataclasses.replace(LABELS, trainable="head", modality="gene")
  params = _run(source, corpus, tmp_path / "new", config, num_steps=2)
  table, old = params["model"]["gene_table"]["embedding"], source.params["gene_table"]["embedding"]
  assert table.shape == (40, 8)
  np.testing.assert_array_equal(table[:30], old)
  begin = finetuning._begin(source, corpus)[1]["gene_table"]["embedding"]
  assert (np.abs(table[30:] - begin[30:]).max(-1) > 0).any()
  rest = [
    name for name in source.params if name not in ("gene_table", "gene_bias", "anchor_offset")
  ]
  for name in rest:
    jax.tree.map(np.testing.assert_array_equal, params["model"][name], source.params[name])
  assert pretrained.load(tmp_path / "new").model.config.reference_genes == 30


def test_anchors_are_matched_to_the_gene_sets_by_name(corpus, tmp_path):
  names = ("right", "other", "left")
  source = _source(corpus, corpus.panel.ids, _remembered(tmp_path, corpus, names))
  offset = finetuning._begin(source, corpus)[1]["anchor_offset"]
  assert corpus.gene_set_names == ("left", "other", "right")
  np.testing.assert_array_equal(offset, source.params["anchor_offset"][[2, 1, 0]])


@pytest.mark.parametrize(
  ("changes", "says"),
  [
    ({"label": "sides"}, "one of side"),
    ({"task": "expression"}, "expression_mse"),
    ({"trainable": "last_blocks", "last_blocks": 2}, "1 to 1"),
  ],
)
def test_what_cannot_be_learned_is_refused_before_anything_is_written(
  changes, says, source, corpus, tmp_path
):
  with pytest.raises(BadInputError, match=says):
    _run(source, corpus, tmp_path / "run", dataclasses.replace(LABELS, **changes))
  assert not (tmp_path / "run").exists()


def test_a_corpus_that_does_not_fit_the_checkpoint_is_refused_with_the_command_that_mends_it(
  source, corpus, tmp_path
):
  foreign = _source(corpus, ("x", *corpus.panel.ids))
  with pytest.raises(BadInputError, match=r"--extend_panel=runs/pretrained/panel\.tsv"):
    _run(foreign, corpus, tmp_path)
  larger = dataclasses.replace(small.config(), patch_px=16)
  larger = dataclasses.replace(source, model=HiBio(larger, source.model.num_genes))
  with pytest.raises(BadInputError, match="--patch_px=16"):
    _run(larger, corpus, tmp_path)


def test_reading_images_of_a_corpus_without_any_is_refused(source, corpus, tmp_path):
  sections = [{**section, "has_image": False} for section in corpus.manifest["sections"]]
  without = dataclasses.replace(corpus, manifest={**corpus.manifest, "sections": sections})
  with pytest.raises(BadInputError, match="modality=gene"):
    _run(source, without, tmp_path)


def test_where_pretraining_goes_on_adapters_learn_and_means_follow_and_nothing_else_moves(
  source, corpus
):
  config = FinetuningConfig(task="continue", rank=2)
  model, begin = finetuning._begin(source, corpus)
  trained = finetuning._trained(source, model, None, config)
  run = finetuned.continued(model, config, TRAINING.augmentation, trained)
  params = finetuned.begun(begin, finetuning._adapters(begin, None, config, 0), None)
  tables = jax.tree.map(jax.numpy.asarray, corpora.tables_of(corpus))
  batch = next(pretraining.training_batches(corpus, TRAINING, 1)(0))

  def loss(params):
    outputs = run(params, batch, tables, jax.random.key(0))
    return (outputs.image - 2 * outputs.gene).sum() + outputs.anchors.sum()

  gradient = jax.jit(jax.grad(loss))(params)
  moved = {name for name, leaf in small.names(gradient).items() if np.any(leaf)}
  adapters = {f"adapters/{name}" for name in small.names(params["adapters"]) if name[-1] == "b"}
  means = {f"model/centre_{side}/tracked_mean" for side in ("image", "gene")}
  assert moved == adapters | means
  assert finetuning._objectives(source, None).weights == ObjectiveConfig().weights


def test_a_test_donor_of_the_checkpoints_training_is_refused_unless_allowed(
  corpus, tmp_path, monkeypatch
):
  source = _source(
    corpus, corpus.panel.ids, _remembered(tmp_path / "old", corpus), train=("B", "Z")
  )
  with pytest.raises(BadInputError, match="donor B was trained on"):
    _run(source, corpus, tmp_path)
  reached = RuntimeError("reached the loop")
  monkeypatch.setattr(finetuning.loop, "train", lambda *_: (_ for _ in ()).throw(reached))
  with pytest.raises(RuntimeError, match="reached the loop"):
    finetuning.finetune(source, corpus, tmp_path, LABELS, TRAINING, allow_leak=True)
