import json
import math

import numpy as np

from hibio.training.metrics import NAME, MetricsWriter, mean_of, read


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


def test_a_mean_leaves_out_what_is_not_finite():
  means = mean_of(
    [{"a": 1.0, "b": math.nan}, {"a": math.inf, "b": math.nan}, {"a": 3.0, "b": 0 / 1}]
  )
  assert means == {"a": 2.0, "b": 0.0}
