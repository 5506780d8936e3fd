"""One call of ukify: what its options and its configuration mean together, by the rules of ukify 262.1."""

import argparse
import os
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from fuki_build.errors import RecipeError
from fuki_build.ukify import configuration
from fuki_build.ukify.arguments import parse
from fuki_build.ukify.options import OPTIONS, VERBS

_HOST_ARCHITECTURES = {"x86_64": "x64", "aarch64": "aa64"}
_CONTENT = (
    "linux", "initrd", "profile", "join_profile", "microcode", "sbat", "uname", "os_release", "cmdline", "hwids",
    "splash", "devicetree", "devicetree_auto", "pcr_private_key", "pcr_public_key", "pcr_certificate",
)  # fmt: skip
"""Options that make no sense where only signatures are put into an image."""


class PolicyGroup(Struct, frozen=True, kw_only=True):
    """What one --pcr-private-key signs, from the options of the same place in their lists."""

    private_key: str
    public_key: str | None
    certificate: str | None
    phases: tuple[str, ...]
    reference: str | None


class UkifyCall(Struct, frozen=True, kw_only=True):
    """The verb, its files, and the options as they were given; `notes` are for people.

    `cmdline_of_last_resort` is for an image that has no command line from anywhere else.
    """

    verb: str
    files: tuple[str, ...]
    options: argparse.Namespace
    notes: tuple[str, ...] = ()
    cmdline_of_last_resort: str | None = None

    def one(self, attribute: str) -> str | None:
        """The value of an option that has one; None for an option that was not given."""
        value: str | None = getattr(self.options, attribute)
        return value

    def many(self, attribute: str) -> tuple[Any, ...]:
        """The values of an option that can be repeated."""
        return tuple(getattr(self.options, attribute) or ())

    def switch(self, attribute: str) -> bool | None:
        """Whether a switch is on or off; None where it was not given."""
        value: bool | None = getattr(self.options, attribute)
        return value

    @property
    def architecture(self) -> str:
        """The EFI architecture: the one that was asked for, or the host's."""
        return self.one("efi_arch") or host_architecture()

    @property
    def policy_groups(self) -> tuple[PolicyGroup, ...]:
        """The keys for policies."""

        def at(attribute: str, index: int) -> Any:  # noqa: ANN401 - as the option has it
            values = self.many(attribute)
            return values[index] if index < len(values) else None

        return tuple(
            PolicyGroup(
                private_key=key,
                public_key=at("pcr_public_key", index),
                certificate=at("pcr_certificate", index),
                phases=at("phases", index) or (),
                reference=at("policyref", index),
            )
            for index, key in enumerate(self.many("pcr_private_key"))
        )

    @property
    def summary(self) -> dict[str, object]:
        """The options that hold, by their names."""
        own = {option.attribute: getattr(self.options, option.attribute) for option in OPTIONS}
        return {"verb": self.verb, "files": list(self.files), **own}


def host_architecture() -> str:
    """The EFI name of this machine's architecture."""
    machine = os.uname().machine
    if machine in _HOST_ARCHITECTURES:
        return _HOST_ARCHITECTURES[machine]
    if machine.startswith("arm"):
        return "arm"
    return "ia32" if machine.startswith("i") else machine


def read_call(arguments: Sequence[str]) -> UkifyCall:
    """The call that a command line makes. Raises `click.UsageError` and `RecipeError`."""
    options = parse(arguments)
    return call_of(options, tuple(configure(options)))


def configure(options: argparse.Namespace) -> Iterator[str]:
    """Put the configuration, where there is one, below the options; yields notes for people. Raises `RecipeError`."""
    path = configuration.find(options.config)
    if path is not None:
        yield f"using the configuration {path}"
        yield from configuration.apply(options, path)


def call_of(
    options: argparse.Namespace, notes: Sequence[str] = (), *, cmdline_of_last_resort: str | None = None
) -> UkifyCall:
    """The call that options make which are configured. Raises `RecipeError` for options that contradict each other."""
    told = list(notes)
    verb, files = _verb(options, told)
    _check_policies(options)
    _check_signing(options)
    _check_join(options)

    if verb == "build" and options.output is None:
        options.output = _default_output(options)
    return UkifyCall(
        verb=verb, files=files, options=options, notes=tuple(told), cmdline_of_last_resort=cmdline_of_last_resort
    )


def _verb(options: argparse.Namespace, notes: list[str]) -> tuple[str, tuple[str, ...]]:
    words = options.positional
    if words and words[0] == "inspect":
        if len(words) == 1:
            raise RecipeError("there is no file to inspect", where="inspect", hint="ukify inspect FILE…")
        if len(words) > 2 and options.json != "off":
            raise RecipeError("JSON is of one file", where="--json", hint="inspect each file in a call of its own")
        return "inspect", tuple(words[1:])

    if len(words) == 1 and words[0] in VERBS:
        return words[0], ()

    if options.linux or options.initrd:
        hint = "name the verb, 'build', and nothing else without an option before it"
        raise RecipeError("kernel and initrds are given with and without options", where="--linux/--initrd", hint=hint)

    notes.append("no verb: taken as 'build KERNEL INITRD…', which upstream no longer wants")
    if words:
        options.linux = words[0]
    options.initrd = [*(options.initrd or []), *words[1:]]
    return "build", ()


def _check_policies(options: argparse.Namespace) -> None:
    """Lists about policies are as long as that of the keys, or not there."""
    keys = options.pcr_private_key
    if options.policy_digest:
        if keys is not None:
            raise RecipeError(
                "policies are signed here or elsewhere, not both", where="--pcr-private-key/--policy-digest"
            )
        if len(options.pcr_public_key or ()) != 1 and len(options.pcr_certificate or ()) != 1:
            hint = "give one --pcr-public-key or --pcr-certificate"
            raise RecipeError("it takes the public key that policies are for", where="--policy-digest", hint=hint)

    if options.pcr_public_key is not None and options.pcr_certificate is not None:
        raise RecipeError("a key is given as such or by its certificate", where="--pcr-public-key/--pcr-certificate")

    for name in ("pcr_public_key", "pcr_certificate", "phases", "policyref"):
        values = getattr(options, name)
        # A public key alone is for signing elsewhere.
        may_stand_alone = name in {"pcr_public_key", "pcr_certificate"} and keys is None
        if values is not None and not may_stand_alone and len(values) != len(keys or ()):
            flag = f"--{name.replace('_', '-')}"
            raise RecipeError("there is not one for each --pcr-private-key", where=flag, hint="repeat it for each key")

    if options.sign_initrd_pcrs and not (keys or options.policy_digest):
        hint = "give --pcr-private-key or --policy-digest"
        raise RecipeError("there is no key to sign with", where="--sign-initrd-pcrs", hint=hint)


def _check_signing(options: argparse.Namespace) -> None:
    if options.signing_engine and options.signing_provider:
        raise RecipeError("a key is in an engine or in a provider", where="--signing-engine/--signing-provider")

    if bool(options.secureboot_private_key) != bool(options.secureboot_certificate):
        given = "secureboot-private-key" if options.secureboot_private_key else "secureboot-certificate"
        hint = "--secureboot-private-key and --secureboot-certificate belong together"
        raise RecipeError("it is given alone", where=f"--{given}", hint=hint)

    if options.secureboot_private_key:
        options.signtool = options.signtool or "sbsign"
        if options.signtool == "pesign":
            hint = "leave it out, or give --secureboot-certificate-name"
            raise RecipeError("pesign has its keys in a database", where="--signtool", hint=hint)
    elif options.secureboot_certificate_name:
        options.signtool = options.signtool or "pesign"
        if options.signtool != "pesign":
            hint = "leave it out, or give --secureboot-private-key"
            raise RecipeError("names of certificates are pesign's", where="--signtool", hint=hint)

    for name in ("signing_provider", "certificate_provider"):
        if getattr(options, name) and options.signtool != "systemd-sbsign":
            hint = "add --signtool=systemd-sbsign"
            raise RecipeError("only systemd-sbsign takes it", where=f"--{name.replace('_', '-')}", hint=hint)

    if options.sign_kernel and not (options.secureboot_private_key or options.secureboot_certificate_name):
        hint = "give --secureboot-private-key, or --secureboot-certificate-name"
        raise RecipeError("there is no key to sign with", where="--sign-kernel", hint=hint)


def _check_join(options: argparse.Namespace) -> None:
    for name, other in (("pcrsig", "join_pcrsig"), ("join_pcrsig", "pcrsig")):
        if getattr(options, name) and not getattr(options, other):
            hint = "--pcrsig and --join-pcrsig belong together"
            raise RecipeError("it is given alone", where=f"--{name.replace('_', '-')}", hint=hint)
    given = next((name for name in _CONTENT if getattr(options, name)), None) if options.pcrsig else None
    if given is not None:
        hint = "--pcrsig puts signatures into an image that is finished otherwise"
        raise RecipeError("it does not go together with --pcrsig", where=f"--{given.replace('_', '-')}", hint=hint)


def _default_output(options: argparse.Namespace) -> str:
    if options.linux is None:
        raise RecipeError("an addon has no name of its own", where="--output", hint="add --output=PATH")
    name: str = os.path.basename(options.linux)  # noqa: PTH119 - the path is still text
    return (
        f"{name}{'.efi' if options.secureboot_private_key or options.secureboot_certificate_name else '.unsigned.efi'}"
    )
