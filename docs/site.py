"""What MkDocs does not do by itself: files of the repository that a page links to become part of the site."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
LINK = re.compile(r"\]\((?P<to>\.\./[^)#\s]+)")
SHIM = "https://unpkg.com/iframe-worker/shim"
_BELL = (
    "M12 2a2 2 0 0 1 2 2v.3a7 7 0 0 1 5 6.7v5l2 2v1H3v-1l2-2v-5a7 7 0 0 1 5-6.7V4a2 2 0 0 1 2-2zm-2 18h4a2 2 0 0 1-4 0z"
)
ICON = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><path fill="#3f51b5" d="{_BELL}"/></svg>'


def _outside(page: Path, to: str) -> Path | None:
    """The file of the repository that ``page`` links to, if it lies outside the documentation."""
    found = (page.parent / to).resolve()
    return found if found.exists() and not found.is_relative_to(DOCS) and found.is_relative_to(ROOT) else None


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is linked to, and the icon."""
    linked = {
        found
        for page in DOCS.rglob("*.md")
        for match in LINK.finditer(page.read_text())
        if (found := _outside(page, match["to"])) is not None and found.is_file()
    }
    for found in sorted(linked):
        name = f"files/{found.relative_to(ROOT).as_posix()}{'.txt' if found.suffix == '.md' else ''}"
        files.append(File.generated(config, name, content=found.read_bytes()))
    files.append(File.generated(config, "favicon.svg", content=ICON))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Point the links to them."""
    here = DOCS / page.file.src_uri

    def moved(match: re.Match[str]) -> str:
        found = _outside(here, match["to"])
        if found is None or not found.is_file():
            return match[0]
        up = "../" * page.file.src_uri.count("/")
        return f"]({up}files/{found.relative_to(ROOT).as_posix()}{'.txt' if found.suffix == '.md' else ''}"

    return LINK.sub(moved, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001
    """Load the help for searching without a server from the site itself."""
    up = "../" * page.file.src_uri.count("/")
    return output.replace(SHIM, f"{up}assets/iframe-worker.js")


def on_post_template(output_content: str, template_name: str, config: MkDocsConfig) -> str:  # noqa: ARG001
    """The same for pages without a source, such as the one for what is not found."""
    return output_content.replace(SHIM, "assets/iframe-worker.js")
