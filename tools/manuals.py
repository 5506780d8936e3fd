"""The manual pages and shell completions below share/, as the command line has them.

python tools/manuals.py    write those that changed
"""

import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from fuki_build import __version__
from fuki_build.cli.main import VERBS, fuki

SHARE = Path(__file__).parent.parent / "share"
COMPLETIONS: dict[str, type[ShellComplete]] = {
    "bash-completion/completions/fuki": BashComplete,
    "zsh/site-functions/_fuki": ZshComplete,
    "fish/vendor_completions.d/fuki.fish": FishComplete,
}
"""Where each shell looks, below share/."""

_LINE = 79
"""Columns: mandoc complains of source lines above 80."""
_EXIT = {
    "0": "fine",
    "1": "failed, or the checks found errors",
    "2": "usage or recipe",
    "3": "what was verified is not what was expected",
    "4": "signing: a key, certificate or secret cannot be used, or a signature could not be made",
    "5": "a plugin is missing, broken or misbehaves",
}
_ENVIRONMENT = {
    "FUKI_PLUGINS": "Names of plugins to load, as --plugin does.",
    "FUKI_NO_COMMANDS": "Refuse recipes that have programs of their choice run, as --no-commands does.",
    "FUKI_DEBUG": "With 1, errors come with Python's traceback.",
    "NO_COLOR": "Print no colours.",
    "SOURCE_DATE_EPOCH": "The time that signatures and packages are given.",
}


def manuals() -> dict[str, str]:
    """Every file below share/ by its path there."""
    files = {f"man/man1/{'-'.join(words)}.1": _page(words, command) for words, command in _commands()}
    for path, shell in COMPLETIONS.items():
        script = shell(fuki, {}, "fuki", "_FUKI_COMPLETE").source().rstrip("\n") + "\n"
        files[path] = _autoloaded(script) if shell is ZshComplete else script
    return files


def stale() -> Iterator[Path]:
    """The files that are not as they should be, those too many among them."""
    files = manuals()
    for path in sorted(path for path in SHARE.rglob("*") if path.is_file()):
        if path.relative_to(SHARE).as_posix() not in files:
            yield path
    for name, text in files.items():
        if not (SHARE / name).is_file() or (SHARE / name).read_text() != text:
            yield SHARE / name


def write() -> list[Path]:
    """Bring all files up to date; returns those that changed."""
    files, changed = manuals(), list(stale())
    for path in changed:
        name = path.relative_to(SHARE).as_posix()
        if name not in files:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[name])
    return changed


def _autoloaded(script: str) -> str:
    """A script of zsh's for a file in its fpath, which is the function that completes.

    click's ends with a condition by which that function does nothing when it is called for the second time.
    """
    body, condition, _ = script.partition("\nif [[ $zsh_eval_context")
    if not condition:
        raise LookupError("click's script for zsh has changed")
    return f'{body}\n_fuki_completion "$@"\n'


def _commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """The program, its verbs, and theirs; without those of plugins."""
    yield ("fuki",), fuki
    context = _root()
    for verb in VERBS:
        command = fuki.get_command(context, verb)
        if command is None:
            raise LookupError(verb)
        yield ("fuki", verb), command
        if isinstance(command, click.Group):
            for name, inner in sorted(command.commands.items()):
                yield ("fuki", verb, name), inner


def _root() -> click.Context:
    """A context of the program's own settings, which its verbs inherit."""
    return fuki.make_context("fuki", [], resilient_parsing=True)


def _page(words: tuple[str, ...], command: click.Command) -> str:
    context = _root() if command is fuki else click.Context(command, parent=_root())
    name = "-".join(words)
    paragraphs = (command.help or VERBS.get(words[-1], "")).split("\n\n")
    summary = " ".join(paragraphs[0].split()).removesuffix(".")
    lines = [
        f'.TH {_quoted(name.upper())} 1 "" {_quoted(f"fuki {__version__}")} {_quoted("User Commands")}',
        ".SH NAME",
        *_filled(f"{name} - {summary}", dash=True),
        ".SH SYNOPSIS",
        f".B {_text(' '.join(words))}",
        *_filled(" ".join(command.collect_usage_pieces(context))),
        ".SH DESCRIPTION",
    ]

    for number, paragraph in enumerate(paragraphs):
        lines += [".PP"] if number else []
        lines += _filled(" ".join(paragraph.replace("\b", "").split()))
    lines += _options(command, context)

    if isinstance(command, click.Group):
        inner = VERBS if words == ("fuki",) else {n: c.help or "" for n, c in sorted(command.commands.items())}
        lines.append(".SH COMMANDS")
        for verb, text in inner.items():
            lines += _entry(f"{name}-{verb}(1)", " ".join(text.partition("\n\n")[0].split()))

    lines.append(".SH EXIT STATUS")
    for code, text in _EXIT.items():
        lines += _entry(code, text)
    if words == ("fuki",):
        lines.append(".SH ENVIRONMENT")
        for variable, text in _ENVIRONMENT.items():
            lines += _entry(variable, text)
    else:
        parent = "-".join(words[:-1])
        lines += [".SH SEE ALSO", f".BR {_text(parent)} (1)"]
    return "\n".join(lines) + "\n"


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    records = (parameter.get_help_record(context) for parameter in command.get_params(context))
    # Arguments are told in the description.
    shown = [record for record in records if record and record[1]]
    if shown:
        yield ".SH OPTIONS"
    for option, text in shown:
        yield from _entry(option, " ".join(text.split()))


def _entry(term: str, text: str) -> list[str]:
    return [".TP", f".B {_text(' '.join(term.split()))}", *_filled(text)]


def _filled(text: str, *, dash: bool = False) -> list[str]:
    """Lines of running text, each sentence on lines of its own, as roff wants it."""
    sentences = text.replace(". ", ".\n").splitlines()
    lines = [
        line
        for sentence in sentences
        for line in textwrap.wrap(sentence, _LINE - 12, break_on_hyphens=False, break_long_words=False)
    ]
    escaped = [_text(line) for line in lines]
    if dash:
        # What stands between a page's name and its summary is a minus sign of its own kind.
        escaped[0] = escaped[0].replace(r" \- ", " \\- ", 1)
    return escaped


def _text(line: str) -> str:
    """A line in which nothing is an instruction."""
    line = line.replace("\\", r"\e").replace("-", r"\-").replace("…", "...")
    line = "".join(c if ord(c) < 128 else f"\\[u{ord(c):04X}]" for c in line)
    return f"\\&{line}" if line.startswith((".", "'")) else line


def _quoted(text: str) -> str:
    return f'"{_text(text)}"'


def main() -> None:
    for path in write():
        sys.stdout.write(f"updated {os.path.relpath(path)}\n")


if __name__ == "__main__":
    main()
