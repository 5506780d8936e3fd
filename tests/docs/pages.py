"""The pages of the documentation, cut into the parts that can be tried.

Hidden comments tell what to do with the fenced block that follows:

    <!-- in: NAME -->          run what follows in a fresh directory prepared as NAME (`prepare` in test_commands.py)
    <!-- file: PATH -->        the block is that file; it is written into the directory
    <!-- not run: REASON -->   the block's commands are not run
    <!-- varies -->            numbers and runs of spaces in the shown output are not compared
    <!-- exit: CODE -->        the exit code of the block's last command

In a `console` block, lines that start with `$ ` are commands; a backslash at the end continues one. Lines below a
command are its output, if any are shown: `…` on a line of its own stands for any lines, within a line for any text.

The `pycon` blocks of a page are one session of Python, tried by doctest after its commands, in its last directory;
`…` in what it prints stands for any text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent.parent
PAGES = sorted(
    path.relative_to(CHECKOUT).as_posix()
    for path in (
        *CHECKOUT.glob("*.md"),
        *CHECKOUT.glob("docs/**/*.md"),
        *CHECKOUT.glob("examples/*.md"),
        *CHECKOUT.glob("plugins/**/*.md"),
        *CHECKOUT.glob("integrations/**/*.md"),
    )
)

_COMMENT = re.compile(r"<!-- (in|file|not run|varies|exit)(?:: (.+?))? -->")
_FENCE = re.compile(r"^( *)(```+)(\w*)$")
_NUMBER = re.compile(r"\b(?:0x[0-9a-f]+|[0-9a-f]{64}|\d[\d.]*)(?![0-9a-f-]*-[0-9a-f]{4}-)")


@dataclass(frozen=True)
class Block:
    """A fenced block with the directives that stand before it, and the line that it starts on."""

    language: str
    text: str
    line: int
    directives: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Command:
    command: str
    output: str


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page, first to last."""
    directives: dict[str, str] = {}
    lines = enumerate((CHECKOUT / page).read_text().splitlines(), 1)
    for number, line in lines:
        comment = _COMMENT.fullmatch(line.strip())
        fence = _FENCE.match(line)
        if comment:
            directives[comment[1]] = comment[2] or ""
        elif fence:
            indent, mark, language = fence.groups()
            content = []
            for _, inner in lines:
                if inner.strip() == mark:
                    break
                content.append(inner.removeprefix(indent))
            yield Block(language, "\n".join(content) + "\n", number, directives)
            directives = {}


def commands(block: Block) -> Iterator[Command]:
    """The commands of a console block with the output that is shown for each."""
    command, output = None, []
    lines = iter(block.text.splitlines())
    for line in lines:
        if not line.startswith("$ "):
            output.append(line)
            continue
        if command is not None:
            yield Command(command, "\n".join(output))
        command, output = line[2:], []
        while command.endswith("\\"):
            command = f"{command}\n{next(lines)}"
    if command is not None:
        yield Command(command, "\n".join(output))


def matches(shown: str, real: str, *, varies: bool) -> bool:
    """Whether output is what a page shows."""
    return re.fullmatch(_pattern(shown, varies=varies), _plain(real, varies=varies), re.DOTALL) is not None


def _plain(text: str, *, varies: bool) -> str:
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    if varies:
        lines = [" ".join(_NUMBER.sub("N", line).split()) for line in lines]
    return "".join(f"{line}\n" for line in lines)


def _pattern(shown: str, *, varies: bool) -> str:
    text = re.escape(_plain(shown, varies=varies))
    mark = re.escape("…")
    text = re.sub(rf"(?m)^{mark}\\\n", "(?:[^\n]*\n)*?", text)
    return text.replace(mark, "[^\n]*?")


def headings(page: str) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    text = re.sub(r"(?ms)^( *)```.*?^\1```$", "", (CHECKOUT / page).read_text())
    titles = re.findall(r"(?m)^#+ (.+)$", text)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: str) -> list[str]:
    """The targets of a page's links and pictures."""
    text = re.sub(r"(?ms)^( *)```.*?^\1```$", "", (CHECKOUT / page).read_text())
    return re.findall(r"\]\(([^)\s]+)\)", text)
