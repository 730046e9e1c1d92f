"""Which runs an ablation consists of: presets, each with several seeds, from one base config.

A preset is written `no_tfidf`, `no_pathway:no_region` (both) or `default:model.keywords.
num_keywords=250` (a key set beside): parts separated by colons, applied in order.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from data_pipelines.problems import BadInputError
from experiments.ablation.folds import Split

OWN_KEYS = ("workdir", "corpus", "training.seed", "gene_sets_seed")
"""Keys that the ablation itself sets."""

SPLIT_KEYS = ("split.unit", "split.train", "split.validation", "split.test")
"""Keys that it sets where it holds out one fold after the other."""

RUNS = "runs"


@dataclasses.dataclass(frozen=True)
class Base:
  """What all runs share.

  Attributes:
    file: the config file.
    variants: that all runs begin with, separated by commas.
    overrides: key -> value of every `--config.key=value`.
  """

  file: str
  variants: str
  overrides: Mapping[str, Any]

  @classmethod
  def of(cls, filename: str, overrides: Mapping[str, Any]) -> Base:
    """From `FILE[:variants]`, as the flag has it."""
    file, _, variants = filename.partition(":")
    return cls(file, variants, dict(overrides))

  def config(self, variants: Sequence[str] = ()) -> ConfigDict:
    """The config with further variants.

    Raises:
      ValueError: a variant that the file does not know.
    """
    config = _get_config(self.file)(",".join(filter(None, (self.variants, *variants))))
    config.update_from_flattened_dict(dict(self.overrides))
    return config


@dataclasses.dataclass(frozen=True)
class Run:
  """One pretraining run.

  Attributes:
    preset: as it was asked for; behind it, on how many sections it is trained, if that was asked.
    config: all of it, plain values; a run with another one is another run.
    arguments: of `python -m experiments.pretrain`.
    split: what it does not see; None where that is as the corpus was prepared.
  """

  preset: str
  seed: int
  workdir: Path
  config: Mapping[str, Any]
  arguments: tuple[str, ...]
  split: Split | None = None

  @property
  def asked(self) -> str:
    """The preset as it was asked for."""
    return self.preset.removesuffix(self.split.words) if self.split else self.preset

  @property
  def name(self) -> str:
    fold = f", without {self.split.name}" if self.split and self.split.name else ""
    return f"{self.preset}, seed {self.seed}{fold}"


@dataclasses.dataclass(frozen=True)
class Preset:
  """A preset taken apart: names of variants, and keys set beside them."""

  text: str
  variants: tuple[str, ...]
  settings: tuple[tuple[str, str], ...]

  @classmethod
  def of(cls, text: str) -> Preset:
    parts = [part.strip() for part in text.split(":")]
    settings = [part.partition("=") for part in parts if "=" in part]
    return cls(
      text,
      tuple(part for part in parts if part and "=" not in part),
      tuple((key.removeprefix("config."), value) for key, _, value in settings),
    )

  @property
  def folder(self) -> str:
    """The preset as the name of a folder."""
    return re.sub(r"[^A-Za-z0-9_.=-]+", "-", self.text)


def runs(
  base: Base,
  presets: Sequence[str],
  num_seeds: int,
  corpus: Path,
  output: Path,
  splits: Callable[[int], Sequence[Split]] | None = None,
) -> list[Run]:
  """Every (preset, seed), seeds side by side so that an unfinished ablation can be read.

  Args:
    splits: seed -> what each run of a preset does not see; by default all is as prepared.

  Raises:
    BadInputError: an unknown preset or key, a value of another kind, a preset twice, or a key that
      both a preset and the command line set.
  """
  parsed = [Preset.of(text) for text in presets]
  _check_names(parsed)
  plain = base.config()
  own = (*OWN_KEYS, *SPLIT_KEYS) if splits else OWN_KEYS
  for key in own:
    if key in base.overrides:
      raise BadInputError(
        f"--config.{key}", "use", "given", "left to the ablation",
        "use --corpus, --output, --seeds, --hold_out, --train_sections",
      )  # fmt: skip
  found = []
  for seed in range(num_seeds):
    for preset, split in itertools.product(parsed, splits(seed) if splits else [None]):
      config = _configured(base, plain, preset, own)
      workdir = output / RUNS / preset.folder / f"seed{seed}" / (split.folder if split else "")
      config.update(workdir=str(workdir), corpus=str(corpus))
      config.training.seed = seed
      config.gene_sets_seed = seed
      if split:
        config.split.update(split.config)
      found.append(
        Run(
          preset.text + (split.words if split else ""),
          seed,
          workdir,
          json.loads(json.dumps(config.to_dict())),
          tuple(_arguments(base, preset, config, own)),
          split,
        )  # fmt: skip
      )
  return found


def changes(base: Base, text: str) -> dict[str, tuple[Any, Any]]:
  """Key -> (value without, value with) of all that a preset changes in the base config."""
  plain = base.config()
  before, after = (
    flat(config.to_dict())
    for config in (plain, _configured(base, plain, Preset.of(text), OWN_KEYS))
  )
  keys = [key for key in after if before.get(key) != after[key] and key not in OWN_KEYS]
  return {key: (before.get(key), after[key]) for key in keys}


def _configured(base: Base, plain: ConfigDict, preset: Preset, own: Sequence[str]) -> ConfigDict:
  try:
    config = base.config(preset.variants)
  except ValueError as error:
    raise BadInputError(
      "--presets", "preset", repr(preset.text), f"a known one ({error})", "correct the name"
    ) from error
  bare = Base(base.file, base.variants, {})
  before, after = flat(bare.config().to_dict()), flat(bare.config(preset.variants).to_dict())
  for key in base.overrides:
    if before.get(key) != after.get(key):
      raise BadInputError(
        f"--config.{key}", "use", f"given, and set by preset {preset.text!r} too",
        "one of them", f"leave it out, or add {key}=VALUE to the preset behind a colon",
      )  # fmt: skip
  for key, text in preset.settings:
    if key not in flat(plain.to_dict()) or key in own:
      raise BadInputError(
        "--presets", "key", repr(key), "a key of the config that a run may choose",
        "see experiments/hibio.py and hibio/configs.py",
      )  # fmt: skip
    try:
      config.update_from_flattened_dict({key: _value(text)})
    except TypeError as error:
      raise BadInputError(
        "--presets", key, repr(text), "a value of the right kind", "correct the value"
      ) from error
  return config


def _value(text: str) -> Any:
  try:
    return ast.literal_eval(text)
  except (ValueError, SyntaxError):
    return text


def _arguments(base: Base, preset: Preset, config: ConfigDict, own: Sequence[str]) -> Iterator[str]:
  variants = ",".join(filter(None, (base.variants, *preset.variants)))
  yield f"--config={base.file}:{variants}" if variants else f"--config={base.file}"
  for key, value in base.overrides.items():
    yield f"--config.{key}={value}"
  for key, text in preset.settings:
    yield f"--config.{key}={text}"
  for key in own:
    yield f"--config.{key}={flat(config.to_dict())[key]}"


def _check_names(parsed: Sequence[Preset]) -> None:
  for name in ("text", "folder"):
    values = [getattr(preset, name) for preset in parsed]
    if len(set(values)) < len(values):
      twice = next(value for value in values if values.count(value) > 1)
      raise BadInputError("--presets", "preset", f"{twice!r} twice", "each once", "leave one out")


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
  """Dotted key -> value; lists and tuples are leaves."""

  def leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
      if isinstance(value, Mapping):
        yield from leaves(value, f"{prefix}{name}.")
      else:
        yield f"{prefix}{name}", value

  return dict(leaves(config, ""))


def _get_config(file: str):
  """`get_config` of a config file, loaded by its path as the flag does."""
  name = f"_config_{Path(file).stem}"
  if name not in sys.modules:
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[name] = module
  return sys.modules[name].get_config
