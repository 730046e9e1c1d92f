import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hibio.configs import ObjectiveConfig
from hibio.objectives.total import total
from hibio.outputs import Outputs
from hibio.training import alarms, metrics
from tests.hibio.fake import fake, fake_outputs
from tests.hibio.objectives.test_total import GENES, SPOTS, WEIGHTS, WIDTH, WINDOWS
from tests.hibio.training import toy

PATHWAYS = 9


def _unit(vectors):
  return jnp.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), jnp.float32)


@functools.cache
def _healthy():
  """Outputs whose two sides agree and whose keywords hold half of the counts."""
  batch, tables = fake(windows=WINDOWS, spots=SPOTS, genes=GENES, pathways=PATHWAYS)
  outputs = fake_outputs(batch, pathways=PATHWAYS, width=WIDTH)
  shape = (*batch.spot_mask.shape, 2)
  keywords = outputs.keywords.replace(fraction=jnp.full(shape, 0.25), mask=jnp.ones(shape, bool))
  return outputs.replace(gene=outputs.image, keywords=keywords), batch, tables


def _noise(*, size, about=0.0):
  noise = np.random.default_rng(1).normal(size=(WINDOWS, SPOTS, WIDTH))
  return _unit(about + size * noise)


def _of_its_section(*, size):
  centres = np.random.default_rng(0).normal(size=(2, WIDTH))[np.arange(WINDOWS) % 2]
  noise = np.random.default_rng(1).normal(size=(WINDOWS, SPOTS, WIDTH))
  return _unit(centres[:, None] + size * noise[:, ::-1])


def _tight(outputs: Outputs, **sides) -> Outputs:
  """Anchors of which one lies near all embeddings, and a sharp choice between them."""
  anchors = np.array(outputs.anchors)
  anchors[0] = 1 / np.sqrt(WIDTH)
  return outputs.replace(anchors=jnp.asarray(anchors), anchor_log_scale=jnp.float32(4.6), **sides)


MEAN = np.ones(WIDTH)
SPOILT = {
  "collapse_image": lambda o: o.replace(image=_noise(size=1e-3, about=MEAN)),
  "collapse_gene": lambda o: o.replace(gene=_noise(size=1e-3, about=MEAN)),
  "cone_image": lambda o: o.replace(image=_noise(size=0.25, about=MEAN)),
  "cone_gene": lambda o: o.replace(gene=_noise(size=0.25, about=MEAN)),
  "anchors_unused_image": lambda o: _tight(o, image=_noise(size=0.1, about=MEAN)),
  "anchors_unused_gene": lambda o: _tight(o, gene=_noise(size=0.1, about=MEAN)),
  "anchors_one_image": lambda o: _tight(o, image=_noise(size=0.1, about=MEAN)),
  "anchors_one_gene": lambda o: _tight(o, gene=_noise(size=0.1, about=MEAN)),
  "scale_at_limit": lambda o: o.replace(log_scale=jnp.float32(4.7)),
  "anchor_scale_at_limit": lambda o: o.replace(anchor_log_scale=jnp.float32(4.7)),
  "gene_tokens_dropped": lambda o: o.replace(
    keywords=o.keywords.replace(fraction=0.01 * o.keywords.fraction)
  ),
  "negatives_masked": None,  # by the positions of the batch
  "few_candidates": None,  # by the number of spots
  "held_out_not_below_chance": None,  # by what the look at held-out donors finds
  "section_shortcut": lambda o: o.replace(
    image=_of_its_section(size=1e-5), gene=_of_its_section(size=0.1)
  ),
  "section_probe_image": None,  # by what the probe finds
  "section_probe_gene": None,
}


@jax.jit
def _metrics(outputs, batch, tables):
  return total(outputs, batch, tables, ObjectiveConfig(max_regions=16), WEIGHTS)[1]


def _line(outputs, batch, tables, **more):
  values = _metrics(outputs, *jax.tree.map(jnp.asarray, (batch, tables)))
  probes = {
    f"held_out/monitor/section_probe_{side}{what}": value
    for side in ("image", "gene")
    for what, value in (("", 0.7), ("_chance", 0.5))
  }
  # A look that is better than chance, and a batch of a hundred candidates.
  contrast = {"held_out/loss/spot": 4.0, "held_out/chance/spot": 4.5, "chance/spot": 4.6}
  return {name: float(value) for name, value in values.items()} | probes | contrast | more


def _watched(line, lines=alarms.LINES_IN_A_ROW):
  watch = alarms.Watch(num_steps=20)
  for step in range(3, 3 + lines):
    ringing, warnings = watch.look({"step": step} | line)
  return ringing, warnings


def test_there_is_a_simulated_fault_for_every_alarm():
  assert set(SPOILT) == {alarm.name for alarm in alarms.ALARMS}


@pytest.mark.parametrize("name", SPOILT)
def test_a_simulated_fault_sets_its_alarm_off(name):
  outputs, batch, tables = _healthy()
  more = {}
  if name == "negatives_masked":
    batch = batch.replace(positions_um=batch.positions_um / 20)
  elif name == "few_candidates":
    more["chance/spot"] = 4.0
  elif name == "held_out_not_below_chance":
    more["held_out/loss/spot"] = 4.51
  elif name.startswith("section_probe"):
    more[f"held_out/monitor/{name}"] = 0.99
  else:
    outputs = SPOILT[name](outputs)
  ringing, warnings = _watched(_line(outputs, batch, tables, **more))
  assert name in ringing
  (said,) = (text for text in warnings if text.startswith(f"hibio: warning: {name}: "))
  assert "Try: " in said


def test_nothing_rings_where_all_is_well():
  assert _watched(_line(*_healthy())) == ((), ())


def test_steps_without_images_are_not_taken_for_a_collapse():
  outputs, batch, tables = _healthy()
  without = batch.replace(has_patch=np.zeros_like(batch.has_patch))
  steps = [_metrics(outputs, *jax.tree.map(jnp.asarray, (one, tables))) for one in (batch, without)]
  want = {n: float(v) for n, v in steps[0].items() if n.startswith("monitor/") and "image" in n}
  mixed = metrics.mean_of([steps[0], *9 * [steps[1]]])
  assert {name: mixed[name] for name in want} == pytest.approx(want)
  contrast = {"held_out/loss/spot": 4.0, "held_out/chance/spot": 4.5, "chance/spot": 4.6}
  assert _watched(mixed | contrast) == ((), ())
  assert _watched(metrics.mean_of([steps[1]])) == ((), ())


def test_pairs_are_not_judged_before_the_contrast_is_on():
  line = _line(*_healthy(), **{"held_out/loss/spot": 5.0, "chance/spot": 2.0})
  assert set(_watched(line)[0]) == {"few_candidates", "held_out_not_below_chance"}
  assert _watched(line | {"weight/spot": 0.0}) == ((), ())


def test_anchors_are_not_judged_before_they_are_trained():
  outputs, batch, tables = _healthy()
  line = _line(SPOILT["anchors_one_gene"](outputs), batch, tables)
  assert "anchors_one_gene" in _watched(line)[0]
  assert "anchors_one_gene" not in _watched(line | {"weight/pathway": 0.0})[0]


def test_an_alarm_begins_at_the_third_bad_line_after_a_tenth_of_the_steps_and_warns_once():
  good, bad = {"monitor/masked_negatives": 0.1}, {"monitor/masked_negatives": 0.8}
  watch = alarms.Watch(num_steps=100)
  heard = {}
  lines = {**dict.fromkeys(range(8, 15), bad), 15: good, **dict.fromkeys(range(16, 20), bad)}
  for step, line in lines.items():
    heard[step] = watch.look({"step": step} | line)
  assert [step for step, (ringing, _) in heard.items() if ringing] == [13, 14, 18, 19]
  assert [step for step, (_, warnings) in heard.items() if warnings] == [13]
  assert watch.begun == {"negatives_masked": 13}


def test_a_line_without_the_metric_neither_ends_an_alarm_nor_brings_it_nearer():
  bad, other = {"monitor/masked_negatives": 0.8}, {"loss": None}
  watch = alarms.Watch(num_steps=10)
  rang = [watch.look({"step": 5} | line)[0] for line in (bad, other, bad, other, bad, other)]
  assert [bool(ringing) for ringing in rang] == [False] * 4 + [True] * 2


def test_a_limit_that_is_just_reached_is_no_fault():
  check = alarms.any_of(alarms.below("a", 2.0), alarms.above("b", 0.5, of="c"))
  assert check({"a": 2.0, "b": 5.0, "c": 10.0}) == ""
  assert check({"a": 1.9, "b": 5.1, "c": 10.0}) == "a 1.9 is below 2, b 5.1 is above 5"
  assert check({"a": None}) is None


def _collapsing(outputs, batch, tables, weights, key):
  loss, logged = toy.total(outputs, batch, tables, weights, key)
  std = jnp.where(weights["region"] > 0, 0.01, 0.9)
  return loss, logged | {"monitor/dimension_std_image": std}


def _last_start(folder):
  return json.loads((folder / "run.json").read_text())["history"][-1]


def test_a_run_says_and_records_what_rings_and_so_does_one_that_went_on(tmp_path, capfd):
  config = toy.config(num_steps=10)
  toy.train(tmp_path / "whole", total=_collapsing, training=config)
  said = capfd.readouterr().err
  assert said.count("warning: collapse_image: dimension_std_image 0.01 is below 0.1") == 1
  lines = metrics.read(tmp_path / "whole")
  assert [line["step"] for line in lines if line.get("alarms") == ["collapse_image"]] == [8, 9, 10]
  assert _last_start(tmp_path / "whole")["alarms"] == {"collapse_image": 8}

  def stopped(step):
    for number, batch in enumerate(toy.batches(step)):
      if step + number == 7:
        raise KeyboardInterrupt
      yield batch

  with pytest.raises(KeyboardInterrupt):
    toy.train(tmp_path / "again", total=_collapsing, training=config, batches=stopped)
  toy.train(tmp_path / "again", total=_collapsing, training=config)
  again = metrics.read(tmp_path / "again")
  assert [line.get("alarms") for line in again] == [line.get("alarms") for line in lines]
  assert _last_start(tmp_path / "again")["alarms"] == {"collapse_image": 8}
