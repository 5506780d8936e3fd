"""Acme Cloud for fuki: what it gives, by hook."""

from collections.abc import Sequence
from pathlib import Path

from fuki_acme.console import RULE
from fuki_acme.machines import Acme
from fuki_acme.registry import AcmeRegistry
from fuki_acme.seal import AcmeSeal
from fuki_acme.vault import AcmeVault
from fuki_build.hooks import FileSigner, FirmwareSource, KeySigner, LaunchModel, Platform, Rule, hookimpl

fuki_hook_api = "1.0"


@hookimpl
def fuki_platforms() -> Sequence[type[Platform]]:
    return [Acme]


@hookimpl
def fuki_firmware_sources() -> Sequence[type[FirmwareSource]]:
    return [AcmeRegistry]


@hookimpl
def fuki_signers() -> Sequence[type[KeySigner] | type[FileSigner]]:
    return [AcmeVault]


@hookimpl
def fuki_template_dirs() -> Sequence[Path]:
    return [Path(__file__).parent / "templates"]


@hookimpl
def fuki_checks() -> Sequence[Rule]:
    return [RULE]


@hookimpl
def fuki_launch_models() -> Sequence[type[LaunchModel]]:
    return [AcmeSeal]
