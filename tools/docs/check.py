"""Checks of the built site, whatever built it: every link and anchor leads somewhere, and nothing loads from a network.

python tools/docs/check.py site
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
_STYLE_URL = re.compile(r"""(?:@import\s*|url\()\s*["']?([^"')\s]+)""")
_LEFT_REFERENCE = re.compile(r"\]\[[\w.]*\]")
"""A cross-reference to a name that there is not: it stays in the page as it was written."""


@dataclass
class _Page(HTMLParser):
    """What a page holds and where it leads."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    _code: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note anchors, links and what the browser fetches by itself."""
        given = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := given.get(name))}
        self._code += tag in ("code", "pre", "script", "style")
        if tag == "a" and (link := given.get("href")):
            self.links.append(link)
        elif (loaded := given.get(_LOADED.get(tag, ""))) and given.get("rel") not in ("canonical", "prev", "next"):
            self.loaded.append(loaded)

    def handle_endtag(self, tag: str) -> None:
        """Leave code."""
        self._code -= tag in ("code", "pre", "script", "style")

    def handle_data(self, data: str) -> None:
        """Look for what was meant to become a link."""
        if not self._code:
            self.left += _LEFT_REFERENCE.findall(data)


def check(site: Path) -> list[str]:
    """Everything that is wrong, one line each."""
    pages = {path: _read(path) for path in sorted(site.rglob("*.html"))}
    return [
        f"{path.relative_to(site)}: {fault}" for path, page in pages.items() for fault in _faults(path, page, pages)
    ] + [
        f"{path.relative_to(site)}: loads {url}"
        for path in sorted(site.rglob("*.css"))
        for url in _STYLE_URL.findall(path.read_text("utf-8"))
        if urlsplit(url).scheme not in ("", "data")
    ]


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text("utf-8"))
    return page


def _faults(path: Path, page: _Page, pages: dict[Path, _Page]) -> Iterator[str]:
    for text in page.left:
        yield f"the reference {text} was not found"
    for url in page.loaded:
        if urlsplit(url).scheme not in ("", "data") or urlsplit(url).netloc:
            yield f"loads {url}"
    for url in [*page.links, *page.loaded]:
        parts = urlsplit(url)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if path.name == "404.html" and parts.path.startswith("/"):
            continue  # served from the root of a host
        if target.is_dir():
            target /= "index.html"
        if not target.is_file():
            yield f"{url} leads nowhere"
        elif parts.fragment and unquote(parts.fragment) not in pages[target].anchors:
            yield f"{url} has no such anchor"


if __name__ == "__main__":
    found = check(Path(sys.argv[1]).resolve())
    print("\n".join(found), file=sys.stderr)
    sys.exit(1 if found else 0)
