"""The hook specifications. Each hook contributes named things; the recipe picks them by name.

Where there is a base class, a hook gives classes derived from it, and fuki makes the instances, without arguments.

A plugin is a module (or object) with functions of these names, marked with `hookimpl`:

>>> from fuki_build.hooks import hookimpl
>>> @hookimpl
... def fuki_platforms():
...     return []
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

from fuki_build.hooks.enrollers import Enroller
from fuki_build.hooks.hand_overs import HandOver
from fuki_build.hooks.launch import LaunchModel
from fuki_build.hooks.records import OutputFormat, Platform, Rule
from fuki_build.hooks.signers import FileSigner, KeySigner
from fuki_build.hooks.sources import FirmwareSource

if TYPE_CHECKING:
    import click

PROJECT = "fuki"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def fuki_firmware_sources() -> Sequence[type[FirmwareSource]]:  # type: ignore[empty-body]
    """Firmware sources, picked by `[[fuki.firmware]] source = "…"`.

    >>> @hookimpl
    ... def fuki_firmware_sources():
    ...     return [VendorSource]
    """


@hookspec
def fuki_platforms() -> Sequence[type[Platform]]:  # type: ignore[empty-body]
    """Platforms with their machines, picked by `platforms = ["…"]`.

    >>> @hookimpl
    ... def fuki_platforms():
    ...     return [AcmeCloud]
    """


@hookspec
def fuki_signers() -> Sequence[type[KeySigner] | type[FileSigner]]:  # type: ignore[empty-body]
    """Signing backends, picked by `[fuki.sign] backend = "…"`.

    >>> @hookimpl
    ... def fuki_signers():
    ...     return [SbsignSigner]
    """


@hookspec
def fuki_enrollers() -> Sequence[type[Enroller]]:  # type: ignore[empty-body]
    """Enrollers of Secure Boot keys, picked by `backend = "…"` in the `enroll` of a `[[fuki.firmware]]`.

    >>> @hookimpl
    ... def fuki_enrollers():
    ...     return [StoreWriter]
    """


@hookspec
def fuki_hand_overs() -> Sequence[type[HandOver]]:  # type: ignore[empty-body]
    """Hypervisors' interfaces that take firmware, picked by `[fuki.hand-over] interface = "…"`.

    >>> @hookimpl
    ... def fuki_hand_overs():
    ...     return [VmLaunchUpdate]
    """


@hookspec
def fuki_outputs() -> Sequence[type[OutputFormat]]:  # type: ignore[empty-body]
    """Output formats, picked by `[[fuki.output]] format = "…"`.

    >>> @hookimpl
    ... def fuki_outputs():
    ...     return [DigestOutput]
    """


@hookspec
def fuki_launch_models() -> Sequence[type[LaunchModel]]:  # type: ignore[empty-body]
    """Launch-measurement predictors, one for each technology; all of them see every firmware image.

    >>> @hookimpl
    ... def fuki_launch_models():
    ...     return [SevSnp]
    """


@hookspec
def fuki_checks() -> Sequence[Rule]:  # type: ignore[empty-body]
    """Rules that every layout is held against; the recipe silences them by id.

    >>> @hookimpl
    ... def fuki_checks():
    ...     return [Rule("acme-no-splash", Severity.NOTE, "…", "…", find_splash)]
    """


@hookspec
def fuki_template_dirs() -> Sequence[Path]:  # type: ignore[empty-body]
    """Directories with Jinja2 templates, picked by template name.

    >>> @hookimpl
    ... def fuki_template_dirs():
    ...     return [Path(__file__).parent / "templates"]
    """


@hookspec
def fuki_commands() -> "Sequence[click.Command]":  # type: ignore[empty-body]
    """Verbs of the command line.

    >>> @hookimpl
    ... def fuki_commands():
    ...     return [boot_command]
    """
