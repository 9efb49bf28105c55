"""The documentation site's parts that are no pages of their own.

    python3 tools/docs_site.py gather FOLDER GALLERY    pages, pictures, navigation and llms.txt into FOLDER
    python3 tools/docs_site.py check SITE               every link, anchor and picture of the built pages is there

`tools/docs_site.sh` runs both.
"""

import html.parser
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
# Folders of docs/ that become sections of the same name.
FOLDERS = ("guides", "laws", "formats", "results", "adr")
NAVIGATION = [
    ("Start", ["index.md", "install.md", "quickstart.md", "trust.md", "how-good.md", "comparison.md", "gallery.md", "glossary.md"]),
    ("Tutorials", ["tutorials/wandb_to_megatron.py", "tutorials/live_training.py"]),
    ("Guides", "guides"),
    ("Reference", ["python.md", "reference/cli.md", "reference/presets.md", "caveats.md", ("Formats", "formats")]),
    ("Laws", "laws"),
    ("Results", ["results/accuracy.md", "log.md", ("Measured", "results")]),
    ("Decisions", "adr"),
    ("Notices", ["third-party-notices.md"]),
]
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def title(path: pathlib.Path) -> str:
    """The first heading."""
    for line in path.read_text().splitlines():
        line = line.removeprefix("# ") if path.suffix == ".py" else line
        if line.startswith("# "):
            return line[2:].strip().replace("`", "")
    raise SystemExit(f"{path}: no heading; a page begins with '# Title'")


def summary(path: pathlib.Path) -> str:
    """The first sentence that is prose; nothing where the title says it all, as of decisions and measurements."""
    if path.parent.name in ("adr", "laws", "results") and path.stem != "accuracy":
        return ""
    text = path.read_text()
    if path.suffix == ".py":
        text = "\n".join(line.removeprefix("# ").removeprefix("#") for line in text.splitlines() if line.startswith("#"))
    text = re.sub(r"^---.*?---\n", "", text, flags=re.S)
    text = re.sub(r"```.*?```|<[^>]*>", "", text, flags=re.S)
    for part in text.split("\n\n"):
        part = " ".join(part.split())
        if part and part[0] not in "#|!-=:[`$" and not part.startswith("%%"):
            part = LINK.sub(r"\2", part).strip("*")
            return re.split(r"(?<=[.?!:]) ", part)[0].rstrip(":")
    return ""


def rewritten(path: pathlib.Path, text: str) -> str:
    """Links that lead out of docs/ become plain text: the site does not hold what they lead to."""

    def one(match: re.Match[str]) -> str:
        picture, label, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        place = (path.parent / target.partition("#")[0]).resolve()
        inside = place.is_relative_to(DOCS) and place.suffix != ".json" or place.is_relative_to(DOCS / "formats")
        return match[0] if inside else f"{label} (`{place.relative_to(ROOT)}`)"

    # Not in code.
    parts = re.split(r"(^```.*?^```|`[^`\n]*`)", text, flags=re.S | re.M)
    return "".join(part if i % 2 else LINK.sub(one, part) for i, part in enumerate(parts))


def gather(folder: pathlib.Path, gallery: pathlib.Path) -> None:
    pages = folder / "pages"
    shutil.rmtree(folder, ignore_errors=True)
    pages.mkdir(parents=True)
    for path in sorted(DOCS.rglob("*")):
        relative = path.relative_to(DOCS)
        if not path.is_file() or relative.parts[0] == "site" or "__pycache__" in relative.parts:
            continue
        to = pages / relative
        to.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            to.write_text(rewritten(path, path.read_text()))
        elif relative.parts[0] == "tutorials":
            # Links of a notebook reach the page as they are.
            to.write_text(re.sub(r"\]\((\.\.?/[^):]*)\.md([)#])", r"](\1.html\2", path.read_text()))
        else:
            shutil.copy(path, to)
    for path in (DOCS / "site").iterdir():
        if path.suffix in (".md", ".css"):
            shutil.copy(path, pages / path.name)
    pictures = pages / "gallery"
    subprocess.run([gallery, pictures], check=True)
    shown = []
    for path in sorted(pictures.iterdir()):
        if path.suffix == ".svg":
            name = path.stem.replace("_", " ").replace("-", " ")
            shown.append(f"## {name[0].upper()}{name[1:]}\n\n![{name}](gallery/{path.name})\n")
        else:
            path.unlink()
    page = pages / "gallery.md"
    page.write_text(page.read_text().replace("<!-- gallery -->", "\n".join(shown)))
    navigate(folder, pages)


def paths_of(pages: pathlib.Path, entry: object, taken: set[str]) -> list[object]:
    """Entries of a section: pages in the order given, or all of a folder that are nowhere else."""
    if isinstance(entry, str):
        found = sorted(path.relative_to(pages).as_posix() for path in (pages / entry).glob("*.md"))
        found = [path for path in found if path not in taken]
        found.sort(key=lambda path: (not path.endswith("README.md"), path))
        return list(found)
    out: list[object] = []
    for part in entry:  # type: ignore[attr-defined]
        out.append((part[0], paths_of(pages, part[1], taken)) if isinstance(part, tuple) else part)
    return out


def navigate(folder: pathlib.Path, pages: pathlib.Path) -> None:
    taken = {part for _, entry in NAVIGATION if isinstance(entry, list) for part in entry if isinstance(part, str)}
    lines, index = ["nav:"], []

    def write(name: str, entries: list[object], depth: int) -> None:
        lines.append(f"{'  ' * depth}- {name}:")
        for entry in entries:
            if isinstance(entry, tuple):
                write(entry[0], entry[1], depth + 1)
                continue
            path = pages / str(entry)
            label = title(path)
            lines.append(f'{"  " * (depth + 1)}- "{label}": {entry}')
            address = re.sub(r"README\.md$", "index.html", str(entry))
            address = re.sub(r"\.(md|py)$", ".html", address)
            index.append((name, label, address, summary(path)))

    for name, entry in NAVIGATION:
        write(name, paths_of(pages, entry, taken), 1)
    settings = (DOCS / "site/mkdocs.yml").read_text().replace("PYTHON_SOURCES", str(ROOT / "crates/lehr-py/python"))
    (folder / "mkdocs.yml").write_text(settings + "\n".join(lines) + "\n")
    text = [
        "# lehr\n",
        "> Fits laws of the loss curve of language-model training, forecasts learning-rate schedules with intervals, and recommends",
        "> the annealing ratio of a large run from the logs of small ones. Python package and command line.\n",
        "Things that are easily got wrong: update t runs from 1 to T; the annealing ratio is the share of the whole horizon T spent",
        "annealing; losses are nats per token; `params` is N as counted in the fit; an answer with a blocking caveat should not be used",
        "before a person has looked at it.",
    ]
    section = ""
    for name, label, address, about in index:
        if name != section:
            text.append(f"\n## {name}\n")
            section = name
        text.append(f"- [{label}]({address})" + (f": {about}" if about else ""))
    (pages / "llms.txt").write_text("\n".join(text) + "\n")


class Page(html.parser.HTMLParser):
    """Links, pictures and anchors of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        for name in ("href", "src"):
            # A preconnect names a host, no page.
            if given.get(name) and given.get("rel") not in ("preconnect", "canonical"):
                self.links.append(str(given[name]))
        self.anchors.update(str(given[name]) for name in ("id", "name") if given.get(name))


def check(site: pathlib.Path) -> None:
    site = site.resolve()
    pages: dict[pathlib.Path, Page] = {}
    inside: list[str] = []
    for path in sorted(site.rglob("*.html")):
        pages[path] = Page()
        pages[path].feed(path.read_text())
        if str(ROOT) in path.read_text():
            inside.append(f"{path.relative_to(site)}: shows the folder that it was built in, {ROOT}")
    faults, outside, count = inside, set(), 0
    for path, page in pages.items():
        for link in page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme in ("data", "javascript", "mailto"):
                continue
            if parts.scheme or parts.netloc:
                outside.add(link)
                continue
            count += 1
            target = path if not parts.path else (path.parent / urllib.parse.unquote(parts.path)).resolve()
            if parts.path.startswith("/"):
                # The page of errors is served from everywhere, so its links begin at the root.
                target = (site / urllib.parse.unquote(parts.path).lstrip("/")).resolve()
            target = target / "index.html" if target.is_dir() else target
            anchor = urllib.parse.unquote(parts.fragment)
            if not target.exists():
                faults.append(f"{path.relative_to(site)}: {link}: there is no {target.relative_to(site)}")
            elif anchor and target in pages and anchor not in pages[target].anchors and anchor != "__skip":
                faults.append(f"{path.relative_to(site)}: {link}: {target.relative_to(site)} has no anchor '{anchor}'")
    for line in (site / "llms.txt").read_text().splitlines():
        for _, label, target in LINK.findall(line):
            count += 1
            if not (site / target).exists():
                faults.append(f"llms.txt: {label}: there is no {target}")
    print("\n".join(faults + [f"{len(pages)} pages, {count} links, {len(faults)} broken"]))
    print("not checked, from outside:", *sorted(outside), sep="\n  ")
    if faults or not pages:
        raise SystemExit(1)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["gather", folder, gallery]:
            gather(pathlib.Path(folder), pathlib.Path(gallery))
        case ["check", site]:
            check(pathlib.Path(site))
        case _:
            raise SystemExit(__doc__)
