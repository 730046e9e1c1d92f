"""Sections worked on by an Apache Beam pipeline, on as many machines as its runner has.

Every machine sees inputs and corpus under the same paths, on a file system that they share, and has
this package. The corpus is the same to the last byte as one that a single process makes.
"""

from __future__ import annotations

import contextlib
import pickle
import shlex
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from data_pipelines.files import write_bytes
from data_pipelines.preparation.workers import Each
from data_pipelines.problems import BadInputError


@contextlib.contextmanager
def beam_workers(arguments: str, work: Path) -> Iterator[Each]:
  """Lends what the runner has: each round of calls is one pipeline, each call an element of it.

  Args:
    arguments: of Beam, as on a command line, e.g. "--runner=FlinkRunner --flink_master=HOST:8081".
    work: folder that results pass through; in it, one that only its owner can read.

  Raises:
    BadInputError: Apache Beam is not installed, or does not know the arguments.
  """
  try:
    import apache_beam
    from apache_beam.options.pipeline_options import PipelineOptions
  except ImportError as error:
    raise BadInputError(
      "--beam", "package", f"no Apache Beam ({error})", "the extra beam",
      "pip install 'hibio-st[beam]', or leave the flag out",
    ) from error  # fmt: skip

  def each(function: Callable, calls: Iterable[tuple]) -> Iterator[Any]:
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="beam-", dir=work) as folder:
      elements = [(number, call) for number, call in enumerate(calls)]
      with apache_beam.Pipeline(options=PipelineOptions(shlex.split(arguments))) as pipeline:
        _ = (
          pipeline
          | apache_beam.Create(elements)
          | apache_beam.Reshuffle()  # else one worker would be given all of them
          | apache_beam.Map(_called, function, Path(folder))
        )
      for number, _ in elements:
        result, problem = pickle.loads((Path(folder) / str(number)).read_bytes())
        if problem is not None:
          raise problem
        yield result

  yield each


def _called(element: tuple[int, tuple], function: Callable, folder: Path) -> None:
  """Leaves in the folder what the function returns, or the bad input that it meets."""
  number, call = element
  try:
    outcome = function(*call), None
  except BadInputError as problem:
    outcome = None, problem
  write_bytes(folder / str(number), pickle.dumps(outcome))
