"""The beginning of a plugin: a whole distribution, from the templates below `templates/plugin`, whose tests pass."""

import keyword
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from fuki_build import __version__, hooks
from fuki_build.errors import RecipeError
from fuki_build.hooks import HOOK_API, first_party
from fuki_build.hooks.host import PluginHost
from fuki_build.image.output_directory import NewFile, write_directory
from fuki_build.recipe.text import render_template, template_directory

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 40
_COMMON = ("pyproject.toml", "README.md")


class PluginKind(Struct, frozen=True, kw_only=True):
    """What a plugin gives: the hook, a sentence about it, and what a recipe says to use it."""

    hook: str
    summary: str
    usage: str
    todo: str
    data: tuple[str, ...] = ()
    """Files of the package that are no code."""


_FIRMWARE = '[fuki]\nplugins = ["{name}"]\n\n[[fuki.firmware]]\n'
KINDS: Mapping[str, PluginKind] = {
    "platform": PluginKind(
        hook="fuki_platforms",
        summary="Machines of {title} for fuki: which firmware they select",
        usage=_FIRMWARE + 'path = "firmware"\nplatforms = ["{name}"]',
        todo="The strings in machines.toml are invented: 'fuki machine show' in a guest has the real ones.",
        data=("machines.toml",),
    ),
    "firmware": PluginKind(
        hook="fuki_firmware_sources",
        summary="Firmware of {title} for fuki, by board",
        usage=_FIRMWARE + 'source = "{name}"\nreleases = "releases"\nboard = "q35"\nsha256 = "…"\nplatforms = ["qemu"]',
        todo="The releases are files of a directory: `fetch` is where a server is asked.",
    ),
    "signer": PluginKind(
        hook="fuki_signers",
        summary="Keys of {title} for fuki, which sign images",
        usage='[fuki]\nplugins = ["{name}"]\n\n[fuki.sign]\nbackend = "{name}"\nstore = "store"\nkey = "release"\n'
        'certificate = "db.crt"\npassphrase = "env:STORE_PASSPHRASE"',
        todo="The store is a directory of PEM files: `open` is where a real one is asked.",
    ),
    "output": PluginKind(
        hook="fuki_outputs",
        summary="The output format {name} for fuki",
        usage='[fuki]\nplugins = ["{name}"]\n\n[[fuki.output]]\nformat = "{name}"',
        todo="What it writes, a line for each section, is an example.",
    ),
    "check": PluginKind(
        hook="fuki_checks",
        summary="Checks of {title} for fuki",
        usage='[fuki]\nplugins = ["{name}"]\n# silence = ["{name}-panic"]',
        todo="The rule about panic= is an example.",
    ),
    "launch": PluginKind(
        hook="fuki_launch_models",
        summary="Launch measurements of {title} for fuki",
        usage='[fuki]\nplugins = ["{name}"]\n\n[[fuki.launch]]\ntechnology = "{name}"\nvcpus = [1, 2]',
        todo="The register is invented: no hardware measures so. 'fuki launch' shows it, and so do output formats\n"
        "that tell of launches.",
    ),
}
"""By the names that `fuki plugin new --kind` takes."""


def write_plugin(name: str, kind: str, parent: Path, host: PluginHost) -> list[Path]:
    """Write the distribution `fuki-NAME` below `parent`; the paths of its files.

    Raises `RecipeError` for a name that cannot be a plugin's or is taken, `FukiError` for a directory that is there.
    """
    _check_name(name, KINDS[kind].hook, host)
    directory = parent / f"fuki-{name}"
    files = list(_files(name, kind))
    write_directory(directory, files, mode=0o755)
    return [directory / file.name for file in files]


def _check_name(name: str, hook: str, host: PluginHost) -> None:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        hint = f"at most {_LONGEST} lower case letters and digits, with single dashes between"
        raise RecipeError(f"{name!r} cannot name a plugin", where="NAME", hint=hint)
    if name.startswith("fuki-"):
        hint = f"the distribution will be fuki-{name.removeprefix('fuki-')}"
        raise RecipeError(f"{name!r} has 'fuki-' already", where="NAME", hint=f"leave it out: {hint}")

    if name in first_party.PLUGINS:
        raise RecipeError(f"{name!r} is the name of a plugin of fuki's", where="NAME", hint="take another name")
    if name == "build":
        raise RecipeError("fuki-build is fuki itself", where="NAME", hint="take another name")
    if name in host.names(hook) or first_party.plugin_of(hook, name):
        text = f"fuki or a plugin of its own gives something of the name {name!r} already"
        raise RecipeError(text, where="NAME", hint="take another name")


def _files(name: str, kind: str) -> Iterator[NewFile]:
    package = f"fuki_{name.replace('-', '_')}"
    title = "".join(word.capitalize() for word in name.split("-"))
    words = {"name": name, "title": title}
    chosen = KINDS[kind]
    variables = {
        **words,
        "distribution": f"fuki-{name}",
        "package": package,
        "class_name": _class_name(title),
        "summary": chosen.summary.format(**words),
        "usage": chosen.usage.format(**words),
        "todo": chosen.todo,
        "fuki_version": ".".join(__version__.split(".")[:2]),
        "hook_api": ".".join(map(str, HOOK_API)),
    }

    for file in _COMMON:
        yield NewFile(file, _rendered("common", file, variables))
    yield NewFile(f"{package}/__init__.py", _rendered(kind, "module.py", variables))
    for file in chosen.data:
        yield NewFile(f"{package}/{file}", _rendered(kind, file, variables))
    # Type checkers of others read the package's annotations only where it says that it has some (PEP 561).
    yield NewFile(f"{package}/py.typed", b"")
    yield NewFile(f"tests/test_{package.removeprefix('fuki_')}.py", _rendered(kind, "test.py", variables))


def _class_name(title: str) -> str:
    """What the module's classes begin with, so that none has the name of one that it imports."""
    taken = keyword.iskeyword(title) or any(public.startswith(title) for public in hooks.__all__)
    return f"{title}Plugin" if taken else title


def _rendered(folder: str, name: str, variables: Mapping[str, Any]) -> bytes:
    text, _ = render_template(f"plugin/{folder}/{name}.j2", variables, [template_directory()], name)
    return text.encode()
