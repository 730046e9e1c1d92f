"""How every command starts and stops: flags in, one clear line and an exit status out.

A command is a module with a docstring, `FLAGS = entry.Flags(__doc__)`, a function `main()` and
`entry.run(main, FLAGS)` at its end. A flag is defined by `FLAGS.string(name, default, help)` and
the like; with `required=True` it must be given.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from data_pipelines import compile_cache, files, leaving, memory
from data_pipelines.problems import EXIT_USAGE, BadInputError, exits_on_bad_input, nearest

ROOT = Path(__file__).resolve().parents[1]
"""Holds the packages; a config file such as experiments/hibio.py is found there from any folder."""


class Flags(flags.FlagValues):
  """The flags of one command, apart from those of libraries and of other commands.

  Args:
    about: the docstring of the command; `--help` begins with it.
  """

  def __init__(self, about: str):
    super().__init__()
    # Past FlagValues.__setattr__, which sets flags.
    self.__dict__.update(about=about.strip(), configs={}, required=set(), listed_by="", first="")
    for kind in ("string", "bool", "integer", "float", "list", "enum", "multi_string"):
      self.__dict__[kind] = functools.partial(self._define, getattr(flags, f"DEFINE_{kind}"))

  def _define(self, define: Callable, name: str, *rest, required: bool = False, **settings):
    if required:
      self.required.add(name)
    return define(name, *rest, flag_values=self, required=required, **settings)

  def argument(self, name: str, help: str):
    """A required flag that may come first, without its name: `COMMAND VALUE`."""
    self.__dict__["first"] = name
    return self.string(name, None, help, required=True)

  def config_file(
    self, name: str, default: str, help: str, listed_by: str = "hibio pretrain --print_config"
  ):
    """A flag that names a Python file with `get_config`, whose keys are `--name.key=value`.

    Args:
      listed_by: the command that lists the keys.
    """
    self.configs[name] = default
    self.__dict__["listed_by"] = listed_by
    help = f"{help} [default: {default}]"
    return config_flags.DEFINE_config_file(name, None, help, lock_config=True, flag_values=self)

  def missing(self) -> list[str]:
    """Required flags that are not given."""
    return [name for name in self if name in self.required and self[name].value is None]

  def help(self) -> str:
    """What the command is for, and every option with its meaning and default."""
    lines = [self.about, "", "Options, each written --name=value:", ""]
    for name in sorted(self, key=lambda name: (name not in self.required, name)):
      flag = self[name]
      note = " (required)" if name in self.required else _default(flag)
      lines.append(f"  --{name:<20} {_meaning(flag)}{note if name not in self.configs else ''}")
    for name in self.configs:
      lines.append(
        f"  --{name + '.KEY':<20} Sets one key of the config; `{self.listed_by}` lists them"
      )
    return "\n".join([*lines, f"  --{'help':<20} Shows this"])


def listing(config: ConfigDict, meanings: Mapping[str, str]) -> str:
  """Every key of a config as the flag that sets it, with its value and its meaning.

  Args:
    meanings: dotted key -> meaning; keys below one share its meaning.
  """

  def lines(tree: ConfigDict, prefix: str, meaning: str) -> Iterator[str]:
    for key, value in tree.items():
      of = meanings.get(f"{prefix}{key}", meaning)
      if isinstance(value, ConfigDict):
        yield from lines(value, f"{prefix}{key}.", of)
      else:
        yield f"--config.{prefix}{key}={value}\n    {of}"

  return "\n".join(lines(config, "", ""))


def positive_numbers(holder: flags.FlagHolder) -> tuple[float, ...] | None:
  """The numbers of a list flag; None where it is not given, empty where nothing is named.

  Raises:
    BadInputError: one that is no number above 0.
  """
  if holder.value is None:
    return None
  named = [text for text in holder.value if text]
  if bad := [text for text in named if not re.fullmatch(r"\d+(\.\d*)?", text) or not float(text)]:
    raise BadInputError(
      f"--{holder.name}", "value", repr(bad[0]), "numbers above 0, with commas between",
      "correct it",
    )  # fmt: skip
  return tuple(map(float, named))


def _meaning(flag: flags.Flag) -> str:
  """On one line, without what absl adds of flags that can be given several times."""
  return flag.help.partition(";\n")[0].rstrip(".")


def _default(flag: flags.Flag) -> str:
  text = ",".join(flag.default) if isinstance(flag.default, list) else flag.default
  return "" if text is None or text is False or text == "" else f" [default: {text}]"


def run(main: Callable[[], None], own: Flags) -> None:
  """Parses the command line, runs `main`, and turns a user's mistake into one line.

  Exit status 0 for `--help`, 2 for flags that cannot be read or are missing, 3 for bad input (a
  misspelt config key too), 75 where a signal asked it to stop.
  """
  with leaving.program():
    _run(main, own)


def _run(main: Callable[[], None], own: Flags) -> None:
  logging.use_absl_handler()
  logging.set_verbosity(logging.WARNING)
  logging.get_absl_handler().addFilter(_is_for_users)
  sys.unraisablehook = functools.partial(_shown, sys.unraisablehook)
  flags.FLAGS.mark_as_parsed()  # some libraries look at their own
  if {"--help", "-h", "-help"} & set(sys.argv[1:]):
    print(own.help())
    sys.exit(0)
  exits_on_bad_input(_parse)(own)
  memory.keep()
  compile_cache.switch_on()
  try:
    with leaving.when_asked(files.clear_unfinished):
      exits_on_bad_input(main)()
    sys.stdout.flush()
  except BrokenPipeError:  # whoever read the output, such as `head`, has read enough
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_for_users(record) -> bool:
  """Whether a library's log record is shown: of a failed save we speak ourselves, in one line."""
  return "/orbax/" not in record.pathname and record.name != "asyncio"  # the tasks of its saves


def _shown(show: Callable, unraisable) -> None:
  """Shows an error that nobody can catch, but those of a failed save, whose arrays call back."""
  error = unraisable.exc_value
  if not (isinstance(error, RuntimeError) and str(error) == "Event loop is closed"):
    show(unraisable)


def _parse(own: Flags) -> None:
  if own.first and sys.argv[1:] and not sys.argv[1].startswith("-"):
    sys.argv[1] = f"--{own.first}={sys.argv[1]}"
  for name, default in own.configs.items():
    sys.argv[1:] = _with_config_file(sys.argv[1:], name, default)
  try:
    rest = own(sys.argv)
  except AttributeError as error:  # ml_collections: a key that the config does not have
    raise _misspelt_key(sys.argv, str(error), own.listed_by) from error
  except flags.UnrecognizedFlagError as error:
    near = nearest(error.flagname, own)
    _stop(f"hibio: --{error.flagname}: no such flag.{near and f' Did you mean --{near}?'}")
  except flags.Error as error:
    if own.is_parsed() and (missing := own.missing()):
      wanted = ", ".join(f"--{name} ({_meaning(own[name])})" for name in missing)
      _stop(f"hibio: missing: {wanted}. --help lists all options.")
    _refuse_value(str(error))
  if len(rest) > 1:
    _stop(f"hibio: unexpected argument {rest[1]!r}; every option is written --name=value.")


def _with_config_file(arguments: Sequence[str], name: str, default: str) -> list[str]:
  """The arguments with the config file's full path; with the default where none is named."""
  named = [one for one in arguments if re.match(f"--?{name}(=|$)", one)]
  if not named:
    return [f"--{name}={_found(default)}", *arguments]
  return [
    f"--{name}={_found(one.partition('=')[2])}" if one in named and "=" in one else one
    for one in arguments
  ]


def _found(config: str) -> str:
  """The file of FILE[:VARIANTS], looked for here, then among the packages.

  Raises:
    BadInputError: it is in neither place.
  """
  path, colon, variants = config.partition(":")
  if Path(path).is_file():
    return config
  if path and (ROOT / path).is_file():
    return f"{ROOT / path}{colon}{variants}"
  raise BadInputError(
    path or "--config",
    "config",
    "no such file",
    "a config file such as experiments/hibio.py",
    "give the file's path",
  )


def _misspelt_key(argv: Sequence[str], message: str, listed_by: str) -> BadInputError:
  key = (re.search(r"\w+", message) or ["?"])[0]
  near = (re.search(r'mean "(\w+)"', message) or [None, ""])[1]
  flag = next(
    (a.split("=")[0] for a in argv if re.search(rf"\.{key}(=|\.|$)", a)), f"--config…{key}"
  )
  return BadInputError(
    "--config",
    flag.removeprefix("--"),
    "an unknown key",
    f"{near!r}" if near else "a key of the config",
    f"write {flag.replace(key, near)}=…" if near else f"see {listed_by}",
  )


def _refuse_value(message: str) -> None:
  """Says in one line which value cannot be read, and stops.

  Raises:
    BadInputError: the value names a variant of a config that there is not.
  """
  match = re.match(r"flag --?([\w.]+)=(.*?): (.*)", message, re.DOTALL)
  if match is None:
    _stop(f"hibio: {message.splitlines()[0]}. --help lists all options.")
  name, value, why = match.groups()
  if variant := re.search(r"unknown variant '(.*?)'; the variants are (.*)", why):
    near = nearest(variant[1], variant[2].split(", "))
    raise BadInputError(
      f"--{name}", "variant", repr(variant[1]), f"one of {variant[2]}",
      f"write {near}" if near else "correct the part after the colon",
    )  # fmt: skip
  kind = next((words for sign, words in _KINDS.items() if sign in why), why.splitlines()[0])
  _stop(f"hibio: --{name}: found {value!r}, expected {kind}.")


_KINDS = {"int()": "a whole number", "to float": "a number", "boolean": "true or false"}
"""What Python says of a text that is none -> what it is none of."""


def _stop(line: str) -> None:
  print(line, file=sys.stderr)
  sys.exit(EXIT_USAGE)
