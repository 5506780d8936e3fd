"""What an mkosi project calls its image: `ImageId=` and `ImageVersion=`, as far as its files alone tell."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from fuki_build.errors import RecipeError
from fuki_build.recipe.mkosi_files import CONDITIONS, headers, project_files, read_text

_SECTION = "Output"
_SPECIFIERS = {"i": "ImageId", "v": "ImageVersion"}
_SPECIFIER = re.compile(r"\{%|%\}|%(.?)", re.DOTALL)
"""Statements of templates stand as they are."""
_PLAIN = re.compile(r"[A-Za-z0-9._+~^:-]+")
_KEYS = {"ImageId": "Name", "ImageVersion": "Version"}


class ImageSetting(Struct, frozen=True):
    """What the last assignment of a setting says, and where it stands; `unknown` is why that may not hold."""

    value: str
    place: str
    unknown: str | None = None


class ImageSettings:
    """The settings of one project, read when they are asked for first.

    `given` is what mkosi itself says that they are; it goes before all files.
    """

    def __init__(self, project: Path | None = None, given: Mapping[str, str] | None = None) -> None:
        self._project = project
        self._given = given or {}
        self._settings: Mapping[str, ImageSetting] | None = None

    def get(self, name: str) -> ImageSetting | None:
        """A setting by mkosi's name; None where none is made. Raises `RecipeError` where its value cannot be known."""
        if self._given.get(name):
            return ImageSetting(self._given[name], f"{name} of the running mkosi")
        if self._settings is None:
            self._settings = _read(self._project) if self._project is not None else {}

        setting = self._settings.get(name)
        if setting is None or not setting.value:
            return None
        hint = f"say {_KEYS[name]}= in [Fuki], and there use no %{name[5].lower()}"
        if setting.unknown:
            raise RecipeError(f"{name}= {setting.unknown}", where=setting.place, hint=hint)
        if not _PLAIN.fullmatch(setting.value):
            problem = f"{name}={setting.value} has more than letters, digits and ._+~^:-"
            raise RecipeError(problem, where=setting.place, hint=hint)
        return setting

    def expand(self, text: str, where: str) -> str:
        """A text with mkosi's specifiers `%i`, `%v` and `%%` expanded. Raises `RecipeError` at `where` for others."""

        def expanded(match: re.Match[str]) -> str:
            letter = match[1]
            if letter is None:
                return match[0]
            if letter == "%":
                return "%"
            if letter not in _SPECIFIERS:
                hint = "%i and %v are mkosi's ImageId= and ImageVersion=; write %% for a percent sign"
                raise RecipeError(f"unknown specifier '%{letter}'", where=where, hint=hint)

            name = _SPECIFIERS[letter]
            setting = self.get(name)
            if setting is None:
                hint = f"set {name}= in [{_SECTION}] of mkosi.conf; write %% for a percent sign"
                raise RecipeError(f"%{letter} stands for {name}=, which is not set", where=where, hint=hint)

            return setting.value

        return _SPECIFIER.sub(expanded, text)


def _read(project: Path) -> dict[str, ImageSetting]:
    """In mkosi's order: mkosi.version, mkosi.conf, mkosi.conf.d and mkosi.local.conf, of which the last counts."""
    settings: dict[str, ImageSetting] = {}
    directory = project if project.is_dir() else project.parent
    if project.is_dir() and (version := directory / "mkosi.version").is_file():
        is_program = os.access(version, os.X_OK)
        unknown = f"is what the program {version.name} prints" if is_program else None
        value = version.name if is_program else read_text(version).strip()
        settings["ImageVersion"] = ImageSetting(value, str(version), unknown)

    files = (*project_files(project), directory / "mkosi.local.conf") if project.is_dir() else (project,)
    for path in files:
        if path.is_file():
            settings.update(_read_file(path))
    return settings


def _read_file(path: Path) -> dict[str, ImageSetting]:
    """The last assignments of one file, as mkosi reads its own sections: a `#` starts a comment anywhere."""
    text = read_text(path)
    condition = next((header for header in headers(text) if header in CONDITIONS), None)

    settings: dict[str, ImageSetting] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0].rstrip()  # noqa: PLW2901 - what mkosi sees of it
        if line.startswith("["):
            section = line[1:-1].strip()
        key, equals, value = map(str.strip, line.partition("="))
        if section != _SECTION or line[:1].isspace() or not equals or key not in _KEYS:
            continue
        unknown = f"depends on [{condition}]" if condition else None
        if "%" in value:
            unknown = f"is {value}, which mkosi expands"
        settings[key] = ImageSetting(value, f"{path}:{number}", unknown)

    return settings
