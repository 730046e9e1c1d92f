"""Flips single bits of a prepared corpus, one at a time, and says whether reading it notices.

  python -m experiments.faults.corpus_flips --corpus=CORPUS [--number=100]

Every file that is read counts: tables, shards and what lies beside them, thumbnails, features, the
manifest. Exit status 1 where a flip went unnoticed, or was noticed by a traceback.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_pipelines import entry
from data_pipelines.console import Progress
from data_pipelines.features import store
from data_pipelines.loading.corpus import Corpus
from data_pipelines.loading.windows import Windows
from data_pipelines.preparation.manifest import WORK
from data_pipelines.preparation.splits import SPLITS
from data_pipelines.problems import BadInputError

NAMED, SILENT, TRACEBACK = "named", "silent", "traceback"

FLAGS = entry.Flags(__doc__)
_CORPUS = FLAGS.string("corpus", None, "Prepared corpus; every flip is undone", required=True)
_NUMBER = FLAGS.integer("number", 100, "How many bits", lower_bound=1)
_SEED = FLAGS.integer("seed", 0, "Seed of the draw")


@dataclasses.dataclass(frozen=True)
class Flip:
  """One bit of one file, counted from its first byte's lowest."""

  file: Path
  bit: int


def draw(corpus: Path, number: int, seed: int) -> list[Flip]:
  """Bits of a corpus: of every second one the file is drawn first, so that small ones are met."""
  files = [path for path in sorted(corpus.rglob("*")) if path.is_file()]
  files = [path for path in files if WORK not in path.parts and path.stat().st_size]
  sizes = np.array([path.stat().st_size for path in files], float)
  rng = np.random.default_rng(seed)
  flips = []
  for turn in range(number):
    file = files[rng.choice(len(files), p=None if turn % 2 else sizes / sizes.sum())]
    flips.append(Flip(file, int(rng.integers(8 * file.stat().st_size))))
  return flips


@contextlib.contextmanager
def flipped(flip: Flip) -> Iterator[None]:
  """The bit is the other one while this is entered."""
  whole = flip.file.read_bytes()
  content = bytearray(whole)
  content[flip.bit // 8] ^= 1 << flip.bit % 8
  flip.file.write_bytes(content)
  try:
    yield
  finally:
    flip.file.write_bytes(whole)


def read_all(path: Path) -> None:
  """Reads all that training and evaluation may read of a corpus.

  Raises:
    BadInputError: something is not as it was written.
  """
  corpus = Corpus.open(path)
  windows = Windows(corpus, SPLITS)
  for number in range(len(windows)):
    windows[number]
  for section in corpus.manifest["sections"]:
    corpus.thumbnail(section)
  for name in store.names(path):
    corpus.with_features(name)


def outcome(corpus: Path, flip: Flip) -> str:
  """What reading the corpus says of a flip: the file is named, nothing, or a traceback."""
  with flipped(flip):
    try:
      read_all(corpus)
    except BadInputError as problem:
      return NAMED if flip.file.name in str(problem) else TRACEBACK
    except Exception as error:
      return f"{TRACEBACK} ({type(error).__name__})"
  return SILENT


def main() -> None:
  corpus = Path(_CORPUS.value)
  read_all(corpus)
  flips = draw(corpus, _NUMBER.value, _SEED.value)
  progress = Progress("corpus flips", len(flips), "bits")
  found = []
  for flip in flips:
    found.append(outcome(corpus, flip))
    progress.add()
  for flip, what in zip(flips, found, strict=True):
    if what != NAMED:
      print(f"bit {flip.bit} of {flip.file}: {what}")
  files = len({flip.file for flip in flips})
  print(f"{found.count(NAMED)} of {len(flips)} flips in {files} files are named")
  sys.exit(int(found.count(NAMED) < len(found)))


if __name__ == "__main__":
  entry.run(main, FLAGS)
