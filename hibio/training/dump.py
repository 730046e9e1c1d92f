"""What a run leaves behind when its numbers stop being numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines import files
from hibio.batch import Batch
from hibio.training.metrics import to_json

FOLDER = "nan_dump"


def write(workdir: Path, step: int, batch: Batch, metrics: Mapping[str, Any]) -> Path:
  """Writes which spots the step read and what it measured; the file."""
  real = np.asarray(batch.spot_mask)
  depth = np.asarray(batch.counts).sum(-1)[real]
  path = workdir / FOLDER / f"step-{step}.json"
  content = {
    "step": step,
    "section_index": np.asarray(batch.section_index).tolist(),
    "spot_index": np.asarray(batch.spot_index)[real].tolist(),
    "counts_of_a_spot": {"least": depth.min(initial=0), "most": depth.max(initial=0)},
    "metrics": dict(metrics),
  }
  files.write_text(path, to_json(content))
  return path
