"""Everything that the site is made of, put into one folder: the repository's pages, the reference and the gallery.

    python tools/docs/pages.py build/gallery build/pages

The pages are written from scratch each time. Errors are: a link that leads to no page of the site, a public name that
no page would show, and a page that the navigation in zensical.toml lacks.
"""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gallery import EXHIBITS
from reference import reference_pages

_REPOSITORY = Path(__file__).resolve().parents[2]
_RENAMED = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changes.md"}
_LINK = re.compile(r"(?<!!)(\[[^\]]*\]\()([^)\s#]*)(#[^)\s]*)?(\))")


def write_pages(gallery: Path, out: Path) -> None:
    """Write every page of the site into `out`."""
    shutil.rmtree(out, ignore_errors=True)
    sources = {_REPOSITORY / name: page for name, page in _RENAMED.items()}
    sources |= {path: path.name for path in sorted((_REPOSITORY / "docs").glob("*.md"))}
    pages = {page: _with_links(path, sources) for path, page in sources.items()}
    pages |= reference_pages(_REPOSITORY / "src")
    pages["gallery.md"] = _gallery_page()
    _check_navigation(set(pages))
    for page, text in pages.items():
        (out / page).parent.mkdir(parents=True, exist_ok=True)
        (out / page).write_text(text, "utf-8")
    shutil.copytree(_REPOSITORY / "docs" / "assets", out / "assets")
    (out / "gallery").mkdir()
    for exhibit in EXHIBITS:
        # Reports name the model by its whole path, which is that of the machine that built the site.
        report = (gallery / exhibit.page).read_text("utf-8").replace(f"{gallery.resolve()}/", "")
        (out / "gallery" / f"{exhibit.name}.html").write_text(report, "utf-8")


def _with_links(path: Path, sources: dict[Path, str]) -> str:
    """The text with links between files of the repository as links between pages of the site."""

    def moved(link: re.Match[str]) -> str:
        before, target, anchor, after = link.groups(default="")
        if not target or "://" in target or target.startswith("mailto:"):
            return link[0]
        page = sources.get((path.parent / target).resolve())
        if page is None:
            sys.exit(f"docs: {path.relative_to(_REPOSITORY)} links to {target}, which is no page of the site")
        return f"{before}{page}{anchor}{after}"

    return _LINK.sub(moved, path.read_text("utf-8"))


def _gallery_page() -> str:
    parts = [
        "---\nhide: [toc]\n---\n\n# Gallery\n",
        "Every run ends in a page of its own, one file that loads nothing. These are of real but tiny runs, on the",
        "documentation that every Python carries; `tools/docs/gallery.py` made them together with this site. Look at",
        "what they show, not at how good the models are.\n",
    ]
    for exhibit in EXHIBITS:
        page = f"gallery/{exhibit.name}.html"
        parts += [
            f"## {exhibit.title}\n",
            f"{exhibit.shows} [Open the whole page]({page})\n",
            f"```sh\n{exhibit.command}\n```\n",
            f'<iframe class="report" src="{page}" title="{exhibit.title}" loading="lazy"></iframe>\n',
        ]
    return "\n".join(parts)


def _check_navigation(pages: set[str]) -> None:
    with (_REPOSITORY / "zensical.toml").open("rb") as file:
        listed = set(_leaves(tomllib.load(file)["project"]["nav"]))
    for what, names in (("no page", listed - pages), ("no line in the navigation", pages - listed)):
        if names:
            sys.exit(f"docs: {', '.join(sorted(names))}: {what}; mend nav in zensical.toml")


def _leaves(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for inner in entry.values() if isinstance(entry, dict) else entry:
            yield from _leaves(inner)


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]), Path(sys.argv[2]))
