"""Configs from trees of plain values, and what every key of a config means.

>>> from hibio import configs
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Mapping
from typing import Any

from data_pipelines.problems import BadInputError, nearest


def from_dict(cls, values: Mapping[str, Any], where: str = ""):
  """An instance of the dataclass `cls` from plain (JSON or ConfigDict) values, nested ones too.

  Raises:
    BadInputError: a key that `cls` does not have; the message names it and the nearest one.
  """
  types = typing.get_type_hints(cls)
  for key in values:
    if key not in types:
      near = nearest(key, types)
      raise BadInputError(
        "config",
        f"{where}{key}",
        "an unknown key",
        f"one of {', '.join(sorted(types))}",
        f"write {where}{near}" if near else f"remove {where}{key}",
      )
  return cls(**{key: _value(types[key], value, f"{where}{key}.") for key, value in values.items()})


def _value(kind, value, where: str):
  if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
    return from_dict(kind, value, where)
  if typing.get_origin(kind) is tuple and not isinstance(value, str):
    inner = typing.get_args(kind)
    value = value.items() if isinstance(value, Mapping) else value
    if len(inner) == 2 and inner[1] is Ellipsis:
      return tuple(_value(inner[0], item, where) for item in value)
    return tuple(_value(of, item, where) for of, item in zip(inner, value, strict=True))
  if kind is float and isinstance(value, int):
    return float(value)
  return value


def describe(config) -> dict[str, tuple[Any, str]]:
  """Dotted key -> its default and its meaning, for every field of a config dataclass, in order.

  A field that is a config itself is described field by field. A field without a default has
  `dataclasses.MISSING`. Fields that a ConfigDict splits further, such as `weights` of
  `ObjectiveConfig`, have one entry: what is below them shares their meaning.

  Args:
    config: a config dataclass, or an instance, whose values then are the defaults.

  >>> from hibio import configs
  >>> describe(configs.AugmentationConfig)["stain_shift"]
  (0.02, 'sd of an additive change in optical density.')
  """
  cls = config if isinstance(config, type) else type(config)
  meanings, types, described = _meanings(cls), typing.get_type_hints(cls), {}
  for field in dataclasses.fields(cls):
    value = field.default if config is cls else getattr(config, field.name)
    if dataclasses.is_dataclass(types[field.name]):
      inner = types[field.name] if value is dataclasses.MISSING else value
      described |= {f"{field.name}.{key}": of for key, of in describe(inner).items()}
    else:
      described[field.name] = value, meanings[field.name]
  return described


def _meanings(cls) -> dict[str, str]:
  """Field -> what "Attributes" in the docstring of its class says, on one line."""
  listed = inspect.cleandoc(cls.__doc__).partition("Attributes:\n")[2]
  found = re.findall(r"^  (\w+): (.+(?:\n    .+)*)", listed, re.MULTILINE)
  return {name: " ".join(text.split()) for name, text in found}
