"""The tissue that the project makes itself, so that every command runs with no data at hand."""

from __future__ import annotations

from pathlib import Path

from data_pipelines import synthetic
from data_pipelines.prepare import PrepareOptions, prepare


def corpus(preset: str, seed: int, root: Path) -> Path:
  """Writes and prepares embedded tissue under `root`; what is finished is not done again.

  Returns:
    The prepared corpus. The planted truth lies beside it in `raw/truth.json`.
  """
  folder = root / (f"embedded-{preset}" + (f"-seed{seed}" if seed else ""))
  raw = folder / "raw"
  if not (raw / "truth.json").is_file():
    synthetic.write(preset, raw, seed)
  prepare([raw], folder / "corpus", PrepareOptions(gene_sets=(raw / "programs.gmt",)))
  return folder / "corpus"
