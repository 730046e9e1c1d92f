"""The page in a real browser: it is drawn without a complaint and fits a laptop and a phone."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from hibio.report import page

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium: report NOT checked in a browser")

_MEASURE = """<script>
const late = [...document.querySelectorAll("body *")].filter(
  (one) => !one.closest(".scroll") && one.getBoundingClientRect().right > innerWidth + 1);
const broken = [...document.images].filter((one) => !one.naturalWidth).length;
parent.postMessage([innerWidth, document.documentElement.scrollWidth, broken,
  document.images.length, getComputedStyle(document.body).backgroundColor,
  late.map((one) => one.tagName + "." + one.className).join(",")].join("|"), "*");
</script></body>"""

_FRAME = """<!doctype html><body style="margin:0"><script>
addEventListener("message", (event) => document.body.dataset.measured = event.data);
</script><iframe src="page.html" style="border:0;width:%dpx;height:900px"></iframe></body>"""


def chromium(folder, *options: str) -> subprocess.CompletedProcess:
  """A browser with a profile of its own and no background traffic."""
  return subprocess.run(
    [
      CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--no-first-run", "--hide-scrollbars",
      f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=3000",
      "--enable-logging=stderr", *options,
    ],
    capture_output=True, text=True, timeout=120, check=True,
  )  # fmt: skip


@pytest.fixture(scope="module")
def written(rows, exhibits, about, tmp_path_factory):
  return page.write(rows, exhibits, about, tmp_path_factory.mktemp("page") / "report.html")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (420, "dark")])
def test_the_page_fits_and_every_picture_is_drawn(written, tmp_path, width, scheme):
  text = re.sub(r"script-src [^\"]*", "script-src 'unsafe-inline'", written.read_text())
  (tmp_path / "page.html").write_text(text.replace("</body>", _MEASURE))
  (tmp_path / "frame.html").write_text(_FRAME % width)
  preferred = {"dark": 0, "light": 1}[scheme]
  done = chromium(
    tmp_path, "--window-size=1400,1000", f"--blink-settings=preferredColorScheme={preferred}",
    "--dump-dom", f"file://{tmp_path / 'frame.html'}",
  )  # fmt: skip
  measured = re.search(r'data-measured="([^"]*)"', done.stdout)[1].split("|")
  inner, scroll, broken, images, paper, late = measured
  assert int(inner) == width
  assert int(scroll) <= width, late
  assert late == ""
  assert int(broken) == 0
  assert int(images) >= 10
  assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]


def test_the_page_is_drawn_without_a_complaint(written, tmp_path):
  picture = tmp_path / "page.png"
  done = chromium(
    tmp_path, "--window-size=1280,2400", f"--screenshot={picture}", f"file://{written}"
  )
  assert "CONSOLE" not in done.stderr
  with Image.open(picture) as image:
    assert image.size == (1280, 2400)
    assert len(np.unique(np.asarray(image.convert("L")))) > 100
