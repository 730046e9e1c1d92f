import json
import math

import numpy as np

from hibio.training.metrics import NAME, MetricsWriter, line, mean_of, read


def test_going_on_drops_the_lines_that_will_be_made_again_and_a_torn_one(tmp_path):
  lines = [json.dumps({"step": step, "loss": 1.0}) for step in (1, 2, 3, 4)]
  (tmp_path / NAME).write_text("\n".join(lines) + '\n{"step": 5, "lo')
  writer = MetricsWriter(tmp_path, resumed_at=2)
  writer.write(3, {"loss": 2.0})
  assert [(line["step"], line["loss"]) for line in read(tmp_path)] == [(1, 1.0), (2, 1.0), (3, 2.0)]


def test_what_is_not_finite_is_written_as_null(tmp_path):
  values = {"a": math.nan, "b": np.float32(np.inf), "c": np.float32(0.5), "stage": "spot"}
  MetricsWriter(tmp_path, 0).write(1, values)
  text = (tmp_path / NAME).read_text()
  assert json.loads(text) == {"step": 1, "a": None, "b": None, "c": 0.5, "stage": "spot"}
  assert "NaN" not in text


def test_a_line_that_cannot_be_written_does_not_stop_a_run(tmp_path, capsys):
  writer = MetricsWriter(tmp_path, 0)
  (tmp_path / NAME).unlink()
  (tmp_path / NAME).mkdir()
  writer.write(1, {"loss": 1.0})
  assert "a line was lost" in capsys.readouterr().err


def test_a_step_counts_as_far_as_it_has_items_and_one_without_says_nothing():
  steps = [
    {"loss/spot": 4.0, "items/loss/spot": 30.0, "scale": 1.0},
    {"loss/spot": 8.0, "items/loss/spot": 10.0, "scale": 2.0},
    {"loss/spot": 0.0, "items/loss/spot": 0.0, "scale": 3.0},
  ]
  assert mean_of(steps) == {"loss/spot": 5.0, "scale": 2.0}
  alone = mean_of(steps[2:])
  assert math.isnan(alone["loss/spot"])
  assert alone["scale"] == 3.0


def test_the_console_says_held_out_loss_beside_its_own_chance_and_pairs_a_step():
  values = {"stage": "spot", "loss": 6.0, "pairs": 192.2, "pairs_per_second": 811.6}
  said = line(20, 600, values, seconds_left=190.0)
  assert said == "step 20/600 spot loss 6.000 192 pairs a step, 812/s, 3:10 left"
  values |= {"loss/spot": 4.8, "chance/spot": 5.55}
  assert "loss 6.000 (spot 4.800, chance 5.550) 192" in line(20, 600, values, 190.0)
  values |= {"held_out/loss/spot": 5.0, "held_out/chance/spot": 5.4}
  want = "(spot 4.800, chance 5.550; held out 5.000, chance 5.400)"
  assert want in line(20, 600, values, 190.0)
  assert "(held out" in line(20, 600, values | {"loss/spot": math.nan}, 190.0)


def test_a_mean_leaves_out_what_is_not_finite():
  means = mean_of(
    [{"a": 1.0, "b": math.nan}, {"a": math.inf, "b": math.nan}, {"a": 3.0, "b": 0 / 1}]
  )
  assert means == {"a": 2.0, "b": 0.0}
