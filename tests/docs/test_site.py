"""The site that 'make docs' makes: without a warning, whole, by itself, and with a search."""

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from justhtml import JustHTML

from tests.docs.pages import CHECKOUT, PAGES

SOURCE = "https://fuki.example/source/"
DOCS = [page.removeprefix("docs/").removesuffix(".md") for page in PAGES if page.startswith("docs/")]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    rule = (CHECKOUT / "Makefile").read_text().partition("\ndocs: ")[2]
    (options,) = re.findall(r"sphinx-build (.+?) docs build/docs", rule)
    command = [sys.executable, "-m", "sphinx", *options.split(), str(CHECKOUT / "docs"), str(directory / "html")]
    # What it remembers of a run stands beside the site, not in the sources.
    done = subprocess.run([*command, "-d", str(directory / "doctrees")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return directory / "html"


def test_a_warning_is_an_error(tmp_path):
    (tmp_path / "docs").mkdir()
    for name in ("docs/conf.py", "pyproject.toml"):
        (tmp_path / name).write_text((CHECKOUT / name).read_text())
    (tmp_path / "fuki_build").mkdir()
    (tmp_path / "fuki_build/__init__.py").write_text('__version__ = "1"\n')
    (tmp_path / "docs/index.md").write_text("# Index\n\n**All**\n- [Gone](gone.md)\n")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", tmp_path / "docs", tmp_path / "html"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "gone" in done.stderr


def test_every_page_is_there_and_in_the_navigation(site):
    navigation = (site / "index.html").read_text().partition("sidebar-tree")[2].partition("</aside>")[0]
    assert len(DOCS) > 60
    for page in DOCS:
        assert (site / f"{page}.html").is_file()
        assert page == "index" or f'href="{page}.html"' in navigation


@pytest.mark.parametrize("page", DOCS)
def test_the_page_s_links_lead_somewhere_and_it_fetches_nothing_from_elsewhere(site, page):
    path = site / f"{page}.html"
    text = path.read_text()
    assert "<!-- in:" not in text
    assert not re.findall(r'<(?:script|img|iframe)[^>]*src="(?:https?:)?//', text)
    assert not re.findall(r'<link[^>]*href="(?:https?:)?//', text)
    for link in re.findall(r'<a [^>]*href="([^"]+)"', text):
        target, _, anchor = unquote(link).partition("#")
        if target.startswith(SOURCE):
            assert (CHECKOUT / target.removeprefix(SOURCE)).exists(), link
        elif "://" not in target:
            file = (path.parent / target).resolve() if target else path
            assert file.is_file(), link
            assert not anchor or f'id="{anchor}"' in file.read_text(), link


def test_code_is_shown_as_it_is_written(site):
    """What is put right in prose is left alone in blocks of code."""
    page = JustHTML((site / "how-to/sign-images.html").read_text())
    shown = "".join(block.to_text() for block in page.query("pre"))
    assert 'cmdline = "root=LABEL=root ro"' in shown


def test_the_search_finds_the_page_on_a_subject(site, tmp_path):
    """The index that the page of the search loads, in a JavaScript engine."""
    script = tmp_path / "search.js"
    script.write_text(
        "const fs = require('fs'), vm = require('vm'), root = process.argv[2];\n"
        "let index; const context = {Search: {setIndex: i => { index = i; }}};\n"
        "vm.runInNewContext(fs.readFileSync(root + '/searchindex.js', 'utf8'), context);\n"
        "const pages = term => [index.terms[term] ?? []].flat().map(i => index.docnames[i]);\n"
        "console.log(JSON.stringify(Object.fromEntries(process.argv.slice(3).map(t => [t, pages(t)]))));\n"
    )
    done = subprocess.run(["node", script, site, "pcrsig", "chid"], capture_output=True, text=True, check=True)
    pages = json.loads(done.stdout)
    assert "how-to/sign-pcr-policies" in pages["pcrsig"]
    assert "explanation/hardware-ids" in pages["chid"]
