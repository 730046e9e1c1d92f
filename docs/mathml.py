"""Formulas of the pages become MathML when the site is built: no script, no font, no network."""

import html
import re

import latex2mathml.converter

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content: str, **_) -> str:
  """Called by mkdocs with the HTML of each page."""
  return _FORMULA.sub(_mathml, content)


def _mathml(found: re.Match) -> str:
  display = "block" if found[2] == "[" else "inline"
  formula = latex2mathml.converter.convert(html.unescape(found[3]).strip(), display=display)
  return f'<div class="formula">{formula}</div>' if display == "block" else formula
