# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Builds the documentation site: the guides of docs/, and a page for each module, plugin and role.

    make docsite        # dist/docsite/html/index.html

The guides stay as they are read on GitHub. docs/README.md says in which order they are read.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
GUIDES = ROOT / "docs"
SITE = ROOT / "dist" / "docsite"
COLLECTION = "hostfence.calico"
REPOSITORY = "https://github.com/hostfence/hostfence.calico/blob/main"

_PAGE = re.compile(r"^\| \[[^\]]+\]\(([^)]+)\.md\)", re.MULTILINE)
_LINK = re.compile(r"\]\(\.\./([^)]+)\)")
_INDEX = """\
# Hostfence

{introduction}

```{{toctree}}
:caption: Guides
:maxdepth: 1

{guides}
```

```{{toctree}}
:caption: Reference
:maxdepth: 2

Modules, plugins and roles <reference/index>
ansible
```
"""


def order(index: str) -> list[str]:
    """Names of the guides in the order of docs/README.md, without those of the repository's top."""
    return [name for name in _PAGE.findall(index) if not name.startswith("..")]


def relinked(text: str) -> str:
    """The page with links out of docs/ led to the role's page, or to the repository."""

    def target(found: re.Match[str]) -> str:
        path = found[1]
        role = re.fullmatch(r"roles/(\w+)/README\.md", path)
        return f"](../reference/{role[1]}_role.rst)" if role else f"]({REPOSITORY}/{path})"

    return _LINK.sub(target, text)


def sources(folder: Path) -> None:
    """Put together what Sphinx reads."""
    names = order((GUIDES / "README.md").read_text(encoding="utf-8"))
    (folder / "guides").mkdir(parents=True)
    for page in GUIDES.glob("*.md"):
        if page.stem in names:
            text = relinked(page.read_text(encoding="utf-8"))
            (folder / "guides" / page.name).write_text(text, encoding="utf-8")
    for other in (*GUIDES.glob("*.png"), *GUIDES.glob("*.json")):
        shutil.copy(other, folder / "guides")
    for own in ("conf.py", "ansible.rst"):
        shutil.copy(Path(__file__).with_name(own), folder)
    introduction = (ROOT / "README.md").read_text(encoding="utf-8").split("\n\n")[1]
    guides = "\n".join(f"guides/{name}" for name in names)
    (folder / "index.md").write_text(
        _INDEX.format(introduction=introduction, guides=guides), encoding="utf-8"
    )


def main() -> None:
    shutil.rmtree(SITE, ignore_errors=True)
    source, reference = SITE / "source", SITE / "source" / "reference"
    sources(source)
    reference.mkdir()
    tools = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    options = ["--use-current", "--squash-hierarchy", "--fail-on-error", "--dest-dir", str(reference)]
    reader = ["antsibull-docs", "collection", *options, COLLECTION]
    subprocess.run(reader, check=True, env=environment)
    # A warning is an error: a link that leads nowhere is found here and not by a reader.
    writer = ["sphinx-build", "-q", "-W", "--keep-going", source, SITE / "html"]
    subprocess.run(writer, check=True, env=environment)
    print(SITE / "html" / "index.html")


if __name__ == "__main__":
    main()
