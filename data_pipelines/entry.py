"""How every command starts and stops: flags in, one clear line and an exit status out."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from data_pipelines.problems import EXIT_USAGE, BadInputError, exits_on_bad_input


def run(main: Callable[[], None]) -> None:
  """Parses flags, runs `main`, and turns a user's mistake into one line and its exit status.

  Exit status 3 for bad input (a misspelt config key too), 2 for flags that cannot be read.
  """
  logging.set_verbosity(logging.WARNING)  # checkpoint libraries report every file otherwise
  app.run(exits_on_bad_input(lambda _: main()), flags_parser=exits_on_bad_input(_parse))


def required(flag: flags.FlagHolder):
  """The flag's value.

  Raises:
    SystemExit: status 2, with a line that names the flag, where it is not given.
  """
  if flag.value in (None, "", []):
    _stop(f"hibio: --{flag.name} is missing. {flags.FLAGS[flag.name].help.rstrip('.')}.")
  return flag.value


def _parse(argv: Sequence[str]) -> list[str]:
  _require_config_file(argv)
  try:
    rest = flags.FLAGS(argv)
  except AttributeError as error:  # ml_collections: a key that the config does not have
    raise _misspelt_key(argv, str(error)) from error
  except flags.UnrecognizedFlagError as error:
    near = difflib.get_close_matches(error.flagname, list(flags.FLAGS), n=1)
    _stop(
      f"hibio: --{error.flagname}: no such flag." + (f" Did you mean --{near[0]}?" if near else "")
    )
  except flags.Error as error:
    raise _unreadable_value(str(error)) from error
  if len(rest) > 1:
    _stop(f"hibio: unexpected argument {rest[1]!r}; every option is written --name=value.")
  return rest


def _require_config_file(argv: Sequence[str]) -> None:
  for path in (a.partition("=")[2].partition(":")[0] for a in argv if re.match("--?config=", a)):
    if not os.path.isfile(path):
      raise BadInputError(
        path or "--config",
        "config",
        "no such file",
        "a config file such as experiments/hibio.py",
        "run from the project's folder, or give the file's path",
      )


def _misspelt_key(argv: Sequence[str], message: str) -> BadInputError:
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
    f"write {flag.replace(key, near)}=…"
    if near
    else "see experiments/hibio.py and hibio/configs.py",
  )


def _unreadable_value(message: str) -> BadInputError:
  match = re.match(r"flag --?([\w.]+)=(.*?): (.*)", message, re.DOTALL)
  if match is None:
    return BadInputError("flags", "value", message.splitlines()[0], "a readable flag", "see --help")
  name, value, why = match.groups()
  if variant := re.search(r"ValueError: (unknown variant .*)", why):
    return BadInputError(
      f"--{name}",
      "variant",
      repr(value),
      f"a known one ({variant[1]})",
      "correct the part after the colon",
    )
  return BadInputError(
    f"--{name}",
    "value",
    repr(value),
    f"a value of the right kind ({why.splitlines()[0]})",
    "correct the value",
  )


def _stop(line: str) -> None:
  print(line, file=sys.stderr)
  sys.exit(EXIT_USAGE)
