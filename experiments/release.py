"""Hands a trained model on: parameters without the optimizer, what reading needs, a model card.

  python -m experiments.release --checkpoint=WORKDIR --evaluation=DIR --output=FOLDER \\
    --trained_on=SENTENCE

`hibio.load("FOLDER")` reads it. The model that comes with the library is made by

  python -m experiments.pretrain --config=experiments/hibio.py:tiny_checkpoint \\
    --config.workdir=runs/tiny
  python -m experiments.evaluate --checkpoint=runs/tiny --corpus=runs/synthetic-small/corpus \\
    --output=runs/tiny/evaluation --tasks=retrieval,expression,annotation,domains
  python -m experiments.release --checkpoint=runs/tiny --evaluation=runs/tiny/evaluation \\
    --output=hibio/checkpoints/tiny-synthetic --synthetic
"""

from __future__ import annotations

import json
from pathlib import Path

from data_pipelines import entry
from data_pipelines.problems import BadInputError
from hibio import pretrained, released
from hibio.encoders.catalogue import CATALOGUE
from hibio.evaluation import over_runs
from hibio.evaluation.rows import Row
from hibio.pretrained import Pretrained
from hibio.report import markdown

FLAGS = entry.Flags(__doc__)
_CHECKPOINT = FLAGS.string("checkpoint", None, "Work directory of a training run", required=True)
_EVALUATION = FLAGS.string(
  "evaluation",
  None,
  "Folder that experiments.evaluate wrote, for the card's figures",
  required=True,
)
_OUTPUT = FLAGS.string("output", None, "New folder for the released model", required=True)
_TRAINED_ON = FLAGS.string("trained_on", "", "A sentence on the tissue that it was trained on")
_SYNTHETIC = FLAGS.bool("synthetic", False, "It was trained on synthetic tissue: the card says so")

_ONLY_SYNTHETIC = (
  "It knows **synthetic tissue only**: pictures that a program drew, and counts that it drew with\n"
  "them, over genes that do not exist. It holds no real biology. It is here so that the library\n"
  "can be tried and tested within seconds; do not use it on real tissue."
)


def main() -> None:
  model = pretrained.load(_CHECKPOINT.value)
  path = Path(_EVALUATION.value) / "results.json"
  over_runs.read(path)  # says what is wrong
  results = json.loads(path.read_text(encoding="utf-8"))
  output = Path(_OUTPUT.value)
  refuse_gated(model)
  about = " ".join(filter(None, (_ONLY_SYNTHETIC if _SYNTHETIC.value else "", _TRAINED_ON.value)))
  released.write(model.workdir, output, card(output.name, model, results, about))
  size = sum(file.stat().st_size for file in output.iterdir())
  print(f'{output}: {size / 1e6:.1f} MB; hibio.load("{output}") reads it')


def refuse_gated(model: Pretrained) -> None:
  """Refuses to hand on weights that are only given to those who accept terms.

  Raises:
    BadInputError: the image encoder is a network of such weights.
  """
  network = model.meta["config"].get("pretrained")
  if network and CATALOGUE[network["name"]].gated:
    raise BadInputError(
      model.workdir, "image encoder", f"the weights of {network['name']} ({network['licence']})",
      "none that are given only to those who accept terms", "release a model of its features",
    )  # fmt: skip


def card(name: str, model: Pretrained, results: dict, about: str) -> str:
  """The model card, Markdown.

  Args:
    results: content of `results.json`.
    about: what it was trained on, in words.
  """
  described, corpus = model.describe(), model.meta["corpus"]
  training = described["config"]["training"]
  shown = {
    "parameters": f"{described['num_parameters']:,}",
    "genes": f"{model.model.num_genes:,}, panel `{model.panel_hash}`",
    "embedding width": model.model.config.embedding_width,
    "patches": f"{model.patch_um:g} um, {model.model.config.patch_px} px wide",
    "trained on": ", ".join(s["section_id"] for s in corpus["sections"] if s["split"] == "train"),
    "of donors": ", ".join(model.train_donors),
    "corpus": f"`{corpus['fingerprint']}`",
    "steps": f"{described['step']} of {training['windows_per_batch']} windows",
    "seed": training["seed"],
  }
  if encoder := described["config"].get("pretrained") or model.features:
    shown["image encoder"] = f"{encoder['name']}, licence: {encoder['licence']}"
  rows = [Row(**row) for row in results["rows"]]
  figures = markdown.summary(rows)
  return f"""# {name}

{about}

## What it is and how it was made

| | |
| --- | --- |
{chr(10).join(f"| {what} | {value} |" for what, value in shown.items())}

The commands are in `experiments/release.py`.

## How good it is

On donors that it was not trained on, by

    {results["command"]}

{figures.replace("## Summary", "").strip()}

## What it is not for

Other platforms, species, organs and stains than it was trained on; any decision about a patient.
"""


if __name__ == "__main__":
  entry.run(main, FLAGS)
