"""Staged pretraining on a prepared corpus, or on synthetic tissue that it makes first.

  python -m experiments.pretrain --config=experiments/hibio.py [--config.corpus=CORPUS]

The config file is Python and is executed: use only one that you trust. Running the same command
again resumes. See `experiments/hibio.py` for what can be set.
"""

from __future__ import annotations

from pathlib import Path

from data_pipelines import entry
from experiments import hibio, processes
from hibio import pretraining
from hibio.training import hosts, timing

FLAGS = entry.Flags(__doc__)
_CONFIG = FLAGS.config_file("config", "experiments/hibio.py", "The experiment, FILE[:VARIANTS]")
_PRINT = FLAGS.bool("print_config", False, "Print every key with its value and meaning, and stop")
_joined = processes.flags(FLAGS)


def main() -> None:
  config = _CONFIG.value
  if _PRINT.value:
    print(entry.listing(config, hibio.meanings()))
    return
  with _joined():
    corpus = pretraining.run(config, timing.Stopwatch(before=timing.since_process_began()))
    if hosts.is_first():
      print(f"checkpoints, metrics.jsonl and figures: {config.workdir}")
      print(
        f"next: python -m experiments.evaluate --checkpoint={config.workdir} --corpus={corpus.path}"
        f" --output={Path(config.workdir) / 'evaluation'}"
      )


if __name__ == "__main__":
  entry.run(main, FLAGS)
