"""The verb genkey: new keys at the paths that a later build names."""

import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fuki_build.errors import RecipeError
from fuki_build.image.output_file import OutputFile
from fuki_build.ukify.call import UkifyCall

_NAME_SIZE = 64
"""Bytes of a common name, at most (RFC 5280, ub-common-name)."""
_KEY_MODE, _FILE_MODE = 0o600, 0o666


def write_keys(call: UkifyCall) -> Sequence[Path]:
    """Make the keys that the call names, and write all of them or, where a path is taken, none. Raises `FukiError`."""
    files = [*_secure_boot(call), *_policies(call)]
    if not files:
        hint = "give --secureboot-private-key and --secureboot-certificate, or --pcr-private-key"
        raise RecipeError("nothing says where keys go", where="genkey", hint=hint)

    paths = [path for path, _, _ in files]
    for path in paths:
        if path.exists():
            raise RecipeError(f"{path} is there already, and no key is written over", where="genkey")
        if paths.count(path) > 1:
            raise RecipeError(f"two files go to {path}", where="genkey")

    for path, data, mode in files:
        with OutputFile(path, mode) as output:
            output.write(data)
            output.commit()
    return paths


def _secure_boot(call: UkifyCall) -> list[tuple[Path, bytes, int]]:
    key, certificate = call.one("secureboot_private_key"), call.one("secureboot_certificate")
    if key is None or certificate is None:
        return []
    from fuki_build.signing.secure_boot.keys import make_signing_key  # noqa: PLC0415 - cryptography is slow to load

    days = call.options.secureboot_certificate_validity
    start = datetime.now(UTC)
    try:
        end = start + timedelta(days=days)
    except OverflowError:
        end = None
    if end is None or days < 1:
        raise RecipeError(f"a certificate is not valid for {days} days", where="--secureboot-certificate-validity")
    private, public = make_signing_key(_common_name(call), (start, end))
    return [(Path(key), private, _KEY_MODE), (Path(certificate), public, _FILE_MODE)]


def _common_name(call: UkifyCall) -> str:
    option = "--secureboot-certificate-common-name"
    name = call.one("secureboot_certificate_common_name")
    if name is None:
        name = f"Secure Boot signing key of {socket.getfqdn()}"
        return (
            name
            if len(name.encode()) <= _NAME_SIZE
            else f"{name.encode()[: _NAME_SIZE - 3].decode(errors='ignore')}..."
        )

    if not name:
        raise RecipeError("it is empty", where=option)
    if len(name.encode()) > _NAME_SIZE:
        raise RecipeError(f"it has more than {_NAME_SIZE} bytes: {name!r}", where=option)
    return name


def _policies(call: UkifyCall) -> list[tuple[Path, bytes, int]]:
    files = []
    for group in call.policy_groups:
        from fuki_build.signing.secure_boot.keys import KeyType, make_pcr_key  # noqa: PLC0415 - as above

        private, public = make_pcr_key(KeyType.RSA_2048)
        files.append((Path(group.private_key), private.content, _KEY_MODE))
        if group.public_key is not None:
            files.append((Path(group.public_key), public.content, _FILE_MODE))
    return files
