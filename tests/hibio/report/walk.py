"""A page as a strict reader sees it: elements in order, text, and everything that is unbalanced."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "input", "source", "link", "hr"}


class Walk(HTMLParser):
  """Reads a page at once.

  Attributes:
    elements: (tag, attributes) in order.
    text: all text outside of scripts and styles.
    scripts: content of each script.
    problems: tags that close what is not open, or that nothing closes.
  """

  def __init__(self, page: str):
    super().__init__(convert_charrefs=True)
    self.elements: list[tuple[str, dict[str, str | None]]] = []
    self.text, self.scripts, self.problems, self._open = "", [], [], []
    self.feed(page)
    self.close()
    self.problems += [f"never closed: {tag}" for tag in self._open]

  def handle_starttag(self, tag, attrs):
    names = [name for name, _ in attrs]
    if len(names) != len(set(names)):
      self.problems.append(f"an attribute twice: {tag}")
    self.elements.append((tag, dict(attrs)))
    if tag not in VOID:
      self._open.append(tag)
    if tag == "script":
      self.scripts.append("")

  def handle_startendtag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))

  def handle_endtag(self, tag):
    if not self._open or self._open.pop() != tag:
      self.problems.append(f"closed, not open: {tag} at {self.getpos()}")

  def handle_data(self, data):
    if self._open and self._open[-1] == "script":
      self.scripts[-1] += data
    elif not self._open or self._open[-1] != "style":
      self.text += data

  def of(self, tag: str) -> list[dict[str, str | None]]:
    """Attributes of every element of that name."""
    return [attributes for name, attributes in self.elements if name == tag]
