"""C12: preparing a corpus of sixteen sections by two processes, against one.

Patches are of 224 px, as most pretrained encoders read them.

python -m experiments.benchmarks.prepare
"""

from __future__ import annotations

import functools
import hashlib
import shutil
import tempfile
from pathlib import Path

from data_pipelines import synthetic
from data_pipelines.preparation.manifest import WORK
from data_pipelines.prepare import PrepareOptions, prepare
from experiments.benchmarks import side_by_side
from experiments.benchmarks.side_by_side import Case, Pair


@functools.cache
def _folder() -> tempfile.TemporaryDirectory:
  return tempfile.TemporaryDirectory()


def _both(quick: bool) -> Pair:
  preset, patch_px = ("tiny", 32) if quick else ("medium", 224)
  raw = synthetic.write(preset, Path(_folder().name) / preset, 0)
  return tuple(functools.partial(_prepared, raw, patch_px, jobs) for jobs in (2, 1))


def _prepared(raw: Path, patch_px: int, jobs: int) -> str:
  """A hash of every file of a corpus that is prepared from the beginning."""
  corpus = raw.parent / f"{jobs}"
  shutil.rmtree(corpus, ignore_errors=True)
  options = PrepareOptions(gene_sets=(raw / "programs.gmt",), patch_px=patch_px)
  prepare([raw], corpus, options, jobs)
  files = (path for path in sorted(corpus.rglob("*")) if path.is_file() and WORK not in path.parts)
  digest = hashlib.sha256()
  for path in files:
    digest.update(str(path.relative_to(corpus)).encode() + path.read_bytes())
  return digest.hexdigest()


def _same_bytes(ours: str, theirs: str) -> None:
  assert ours == theirs, "the corpora differ"


CASES = (
  Case(
    "C12 preparation by two processes", "one process", goal=1.7, of=_both, same=_same_bytes,
    rounds=3, clock=side_by_side.wall,
  ),
)  # fmt: skip

if __name__ == "__main__":
  side_by_side.run(__doc__, CASES, cores=2)
