"""ukify.conf: found where ukify 262.1 looks for it, and put below the command line's options."""

import argparse
import configparser
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fuki_build.errors import FormatError, RecipeError, located, raised_as
from fuki_build.formats import documents
from fuki_build.formats.truth_values import truth_value
from fuki_build.image.blob import Blob
from fuki_build.ukify.options import CONFIGURED, OPTIONS, Kind, Option

DIRECTORIES = ("/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd")
NAME = "ukify.conf"
_MAX_SETTINGS = 4096
"""Of all sections together. Those of [DEFAULT] count in each: that is where few bytes become many settings."""


def find(given: str | None, directories: Sequence[str] = DIRECTORIES) -> Path | None:
    """The file to read: the one that was named, else the first of the search path; None where there is none."""
    if given is not None:
        return Path(given)
    return next((path for directory in directories if (path := Path(directory, NAME)).is_file()), None)


def apply(options: argparse.Namespace, path: Path) -> Iterator[str]:
    """Put a file's settings below those of the command line; yields the settings that are not known.

    `options.settings` then has, by attribute, the setting of each option that the command line does not give. Raises
    `RecipeError` naming the file, and the section and key where that is what is wrong.
    """
    given = {option.attribute for option in OPTIONS if getattr(options, option.attribute) not in (None, option.default)}
    groups: list[int | str] = list(range(len(options.pcr_private_key or ())))
    count = 0

    for title, section in _read(path, "--config" if options.config else NAME).items():
        name, colon, group = title.partition(":")
        if colon and (not name or not group or ":" in group):
            raise RecipeError(
                f"[{title}] is not the title of a section", where=str(path), hint="such as [PCRSignature:NAME]"
            )

        for key, value in section.items():
            count += 1
            if count > _MAX_SETTINGS:
                raise RecipeError(f"it has more than {_MAX_SETTINGS} settings", where=str(path))
            option = CONFIGURED.get((name + colon, key))
            if option is None:
                yield f"{path}: unknown setting [{name}{colon}] {key}="
                continue
            where = f"{path}: [{title}] {key}="
            _set(options, option, _convert(option, value, where))
            if option.attribute not in given:
                options.settings.setdefault(option.attribute, where)
            if option.kind is Kind.GROUPED:
                _set_group(options, option, groups, group)


def _read(path: Path, place: str) -> configparser.ConfigParser:
    # The parser's own rules decide what is a comment, and where a value ends: they must be those of ukify.
    parser = configparser.ConfigParser(
        comment_prefixes="#",
        inline_comment_prefixes="#",
        delimiters="=",
        empty_lines_in_values=False,
        interpolation=None,
        strict=False,
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign] # keys are told apart by case

    with raised_as(RecipeError), located(place):
        data = Blob.of_file(path).read_small(documents.MAX_TOML, str(path))
    with raised_as(RecipeError, str(path), of=FormatError):
        text = documents.decode_text(data)
        documents.check_lines(text)

    try:
        parser.read_string(text, str(path))
    except configparser.Error as error:
        raise RecipeError(str(error).replace("\n", " "), where=str(path)) from None
    return parser


def _convert(option: Option, value: str, where: str) -> Any:  # noqa: ANN401 - as the option has it
    if option.kind is Kind.SWITCH:
        if (truth := truth_value(value)) is None:
            raise RecipeError(f"{value!r} is neither yes nor no", where=where)
        return truth
    if option.kind is Kind.WORDS:
        return value.split()
    try:
        return option.convert(value)
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise RecipeError(str(error), where=where) from None


def _set(options: argparse.Namespace, option: Option, value: Any) -> None:  # noqa: ANN401 - as the option has it
    old = getattr(options, option.attribute)
    if option.kind in {Kind.MANY, Kind.WORDS}:
        value = [*(value if isinstance(value, list) else [value]), *(old or [])]
    elif option.kind is Kind.GROUPED:
        value = [*(old or []), value]
    elif old is not None and not option.overrides:
        return
    setattr(options, option.attribute, value)


def _set_group(options: argparse.Namespace, option: Option, groups: list[int | str], group: str) -> None:
    """Leave the place of each group free that has no such setting before this one."""
    if group not in groups:
        groups.append(group)
    values = getattr(options, option.attribute)
    free = groups.index(group) - (len(values) - 1)
    values[-1:-1] = [None] * max(0, free)


def example() -> str:
    """A configuration with every setting, for the help."""
    lines: list[str] = []
    for title in ("UKI", "PCRSignature:"):
        lines.append(f"  [{title}{'NAME' if title.endswith(':') else ''}]")
        lines += [
            f"  {option.key} = {'|'.join(option.choices) or option.metavar or 'yes|no'}"
            for option in OPTIONS
            if option.key and option.section == title
        ]
    return "\n".join(lines)
