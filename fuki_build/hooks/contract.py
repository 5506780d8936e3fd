"""What every hook promises: classes where there is a base class to derive from, else finished things.

Plugin authors see these errors, so each says what was given, what was expected, and what to write instead.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

from msgspec import Struct

from fuki_build.errors import PluginError
from fuki_build.hooks.enrollers import Enroller
from fuki_build.hooks.hand_overs import HandOver
from fuki_build.hooks.launch import LaunchModel
from fuki_build.hooks.option_types import lenient_tables
from fuki_build.hooks.options import Options
from fuki_build.hooks.records import OutputFormat, Platform, Rule
from fuki_build.hooks.signers import FileSigner, KeySigner
from fuki_build.hooks.sources import FirmwareSource

HOOKS: dict[str, str] = {
    "fuki_firmware_sources": "firmware source",
    "fuki_platforms": "platform",
    "fuki_signers": "signing backend",
    "fuki_enrollers": "enroller",
    "fuki_hand_overs": "hand-over interface",
    "fuki_outputs": "output format",
    "fuki_launch_models": "launch model",
    "fuki_checks": "check",
    "fuki_template_dirs": "template directory",
    "fuki_commands": "command",
}
"""Each hook, and what to call one thing that it gives."""

BASE_CLASSES: Mapping[str, tuple[type, ...]] = {
    "fuki_firmware_sources": (FirmwareSource,),
    "fuki_platforms": (Platform,),
    "fuki_signers": (KeySigner, FileSigner),
    "fuki_enrollers": (Enroller,),
    "fuki_hand_overs": (HandOver,),
    "fuki_outputs": (OutputFormat,),
    "fuki_launch_models": (LaunchModel,),
}
"""The hooks that give classes, and what these derive from; fuki makes the instances, without arguments."""

_VALUE_TYPES: Mapping[str, type] = {"fuki_checks": Rule, "fuki_template_dirs": Path}
"""What the other hooks give; `fuki_commands` gives commands of click."""

_WITHOUT_OPTIONS = frozenset({"fuki_platforms", "fuki_launch_models"})
"""Hooks whose things have no options: one instance serves a whole command."""


def contribution_of(hook: str, thing: Any) -> tuple[str, Any]:  # noqa: ANN401 - a plugin gives anything
    """The name of one thing that a hook gives, and what the host keeps of it. Raises `PluginError` if it is no such."""
    bases = BASE_CLASSES.get(hook)
    if bases is None:
        _check_value(hook, thing)
        return name_of(thing, HOOKS[hook]), thing

    _check_class(hook, thing, bases)
    if hook in _WITHOUT_OPTIONS:
        thing = thing()
    else:
        _check_options(thing)
    return name_of(thing, HOOKS[hook]), thing


def things_of(hook: str, answer: Any) -> list[Any]:  # noqa: ANN401
    """What one function of a plugin gives. Raises `PluginError` where that is no list."""
    if isinstance(answer, type | str) or not isinstance(answer, Iterable):
        given = answer.__name__ if isinstance(answer, type) else repr(answer)
        raise PluginError(f"{hook} gives {given}, which is no list", hint=f"write: return [{given}]")
    return list(answer)


def check_marked(module: Any, marker: str) -> None:  # noqa: ANN401 - pluggy takes any object
    """Raise `PluginError` for a function that has a hook's name, and no `hookimpl`: it would never be called."""
    for hook in HOOKS:
        function = getattr(module, hook, None)
        if isinstance(function, FunctionType) and not hasattr(function, marker):
            raise PluginError(f"its function {hook} is not marked", hint="write @hookimpl above it")


def _check_class(hook: str, thing: Any, bases: tuple[type, ...]) -> None:  # noqa: ANN401
    names = " or ".join(base.__name__ for base in bases)
    if isinstance(thing, bases):
        kind = type(thing).__name__
        raise PluginError(f"{hook} gives an instance of {kind}, not the class", hint=f"write: return [{kind}]")
    if not isinstance(thing, type) or not issubclass(thing, bases):
        given = thing.__name__ if isinstance(thing, type) else repr(thing)
        raise PluginError(f"{hook} gives {given}, which is no class derived from {names}")

    missing = sorted(getattr(thing, "__abstractmethods__", ()))
    if missing:
        raise PluginError(f"{hook} gives {thing.__name__}, which lacks {', '.join(missing)}")


def _check_options(thing: type) -> None:
    options = getattr(thing, "Options", Options)
    if not (isinstance(options, type) and issubclass(options, Struct)):
        raise PluginError(f"{thing.__name__}.Options is no struct", hint="derive it from fuki_build.hooks.Options")

    if not issubclass(options, Options) or not options.__struct_config__.forbid_unknown_fields:
        raise PluginError(
            f"{thing.__name__}.Options would take unknown keys without a word",
            hint="derive it from fuki_build.hooks.Options",
        )

    for path, table in lenient_tables(options):
        name = table.__name__
        raise PluginError(
            f"{thing.__name__}.Options.{path} would take unknown keys without a word: {name} does not forbid them",
            hint=f"derive {name} from fuki_build.hooks.Options, too",
        )


def _check_value(hook: str, thing: Any) -> None:  # noqa: ANN401
    if hook in _VALUE_TYPES:
        kind = _VALUE_TYPES[hook]
    else:
        import click  # noqa: PLC0415 - only where a plugin has verbs

        kind = click.Command

    if isinstance(thing, type):
        raise PluginError(f"{hook} gives the class {thing.__name__}, not an instance of {kind.__name__}")
    if not isinstance(thing, kind):
        raise PluginError(f"{hook} gives {thing!r}, which is no {kind.__name__}")


def name_of(thing: Any, kind: str) -> str:  # noqa: ANN401 - rules, classes, instances, commands and paths
    if isinstance(thing, Path):
        return str(thing)
    name = thing.id if isinstance(thing, Rule) else getattr(thing, "name", None)
    if not isinstance(name, str) or not name:
        given = thing.__name__ if isinstance(thing, type) else type(thing).__name__
        raise PluginError(f"the {kind} {given} has no name", hint='give it one: name = "…"')
    return name
