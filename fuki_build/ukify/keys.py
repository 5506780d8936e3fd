"""Keys as callers of ukify name them, as tables of a recipe."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fuki_build.errors import FormatError, RecipeError, SigningError, located, raised_as
from fuki_build.image.blob import Blob
from fuki_build.measure.registers import BANKS
from fuki_build.recipe.caller import JoinedProfile
from fuki_build.ukify.call import PolicyGroup, UkifyCall

_PKCS11 = "pkcs11"
_INITRD = {"phases": ["enter-initrd"], "reference": "initrd"}
"""What --sign-initrd-pcrs signs besides."""
_MAX_KEY = 1024 * 1024

Tables = tuple[list[dict[str, Any]], list[str]]
"""Tables of a recipe, and the plugins that they need."""


def sign_table(call: UkifyCall) -> tuple[dict[str, Any] | None, list[str]]:
    """The `[fuki.sign]` of a call, and the plugins that it needs; None where nothing signs. Raises `RecipeError`."""
    key, name = call.one("secureboot_private_key"), call.one("secureboot_certificate_name")
    kernel = {"sign-kernel": "always"} if call.switch("sign_kernel") else {}

    if key is not None:
        certificate = call.one("secureboot_certificate") or ""
        backend, plugins = _backend(call, key, "--secureboot-private-key")
        if call.one("certificate_provider"):
            # The token has the certificate beside the key.
            return {**backend, **kernel}, plugins
        return {**backend, "certificate": _path(certificate), **kernel}, plugins

    if name is None:
        return None, []
    if kernel:
        hint = "sign it beforehand, and leave --sign-kernel out"
        raise RecipeError("pesign signs whole files, and no kernel inside of one", where="--sign-kernel", hint=hint)
    return {"backend": "pesign", "nickname": name, "directory": call.one("secureboot_certificate_dir")}, ["sbsign"]


def _backend(call: UkifyCall, key: str, option: str) -> tuple[dict[str, Any], list[str]]:
    for attribute in ("signing_engine", "signing_provider"):
        value = call.one(attribute)
        if value is not None:
            if value != _PKCS11:
                hint = "keys of other engines and providers: see 'Call fuki as ukify' for backends in a partial recipe"
                flag = f"--{attribute.replace('_', '-')}"
                raise RecipeError(
                    f"fuki has no OpenSSL engine or provider {value!r}, only pkcs11", where=flag, hint=hint
                )
            return {"backend": _PKCS11, "key": key}, [_PKCS11]

    if key.startswith(f"{_PKCS11}:"):
        raise RecipeError("nothing says how to reach the token", where=option, hint="add --signing-engine=pkcs11")
    return {"backend": "local", "key": _path(key)}, []


def policy_tables(call: UkifyCall, base: str | None, joined: Sequence[JoinedProfile]) -> Tables:
    """The `[[fuki.pcr-policy]]` of a call. `base` is the id of the base's profile, None where it has none."""
    groups = call.policy_groups
    if call.switch("policy_digest"):
        # The key is elsewhere; its public half stands in its place, and nothing opens it.
        given = (*call.many("pcr_public_key"), *call.many("pcr_certificate"))[0]
        groups = (PolicyGroup(private_key=given, public_key=given, certificate=None, phases=(), reference=None),)

    profiles = _profiles(call, base, joined)
    if profiles is None:
        return [], []

    tables, plugins = [], []
    for at, group in enumerate(groups):
        table, more = _policy(call, group)
        tables.append({**table, "profiles": profiles})
        plugins += more
        if at == 0 and call.switch("sign_initrd_pcrs"):
            tables.append({**table, "profiles": profiles, **_INITRD})

    # Upstream signs for the initrd last.
    initrd = [table for table in tables if call.switch("sign_initrd_pcrs") and table.get("reference") == "initrd"][:1]
    return [*(table for table in tables if table not in initrd), *initrd], plugins


def _profiles(call: UkifyCall, base: str | None, joined: Sequence[JoinedProfile]) -> list[str] | None:
    """The ids of the profiles to sign for: none for all; None where there is nothing to sign for."""
    requested = call.many("sign_profile")
    if not requested:
        return []
    present = [*([base] if base else []), *(profile.id for profile in joined)]
    return [id_ for id_ in present if id_ in requested] or None


def _policy(call: UkifyCall, group: PolicyGroup) -> tuple[dict[str, Any], list[str]]:
    if call.switch("policy_digest"):
        table: dict[str, Any] = {"backend": "local", "key": _path(group.private_key)}
        plugins: list[str] = []
    else:
        table, plugins = _backend(call, group.private_key, "--pcr-private-key")

    public = group.public_key or group.certificate
    if public is not None:
        table["public-key"] = _path(public)
    if group.phases:
        table["phases"] = list(group.phases)
    if group.reference is not None:
        table["reference"] = group.reference

    # systemd-measure, which upstream runs, takes all banks where it is told none.
    if "policies" in call.many("upstream"):
        table["all-selections"] = False
    table["banks"] = list(call.options.pcr_banks or BANKS)
    return table, plugins


def public_key(call: UkifyCall) -> str | dict[str, str] | None:
    """What `.pcrpkey` is where --pcrpkey does not tell: the only public key, or that of the only certificate."""
    public, certificates = call.many("pcr_public_key"), call.many("pcr_certificate")
    if len(public) == 1 and not (call.one("signing_engine") or call.one("signing_provider")):
        return _path(public[0])
    one = public if len(public) == 1 else certificates
    if len(one) != 1:
        return None
    from fuki_build.formats.asn1 import x509  # noqa: PLC0415 - cryptography is slow to load

    option = "--pcr-public-key" if public else "--pcr-certificate"
    with raised_as(SigningError, option, of=FormatError), located(option):
        der = x509.read_public_key(Blob.of_file(Path(one[0])).read_small(_MAX_KEY, one[0]))
    return {"text": x509.encode_public_key(der).decode()}


def _path(text: str) -> str:
    return os.path.abspath(text)  # noqa: PTH100 - symbolic links stay what they are
