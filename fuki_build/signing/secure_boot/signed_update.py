"""New values of Secure Boot's variables, signed with the key that a signer's table names."""

from datetime import UTC, datetime
from pathlib import Path

from fuki_build.errors import SigningError
from fuki_build.formats.uefi import efi_time
from fuki_build.signing.authenticode import sign
from fuki_build.signing.key_requirements import source_date
from fuki_build.signing.request import SignRequest, errors_at, open_signers, signing_context
from fuki_build.signing.secure_boot import variable_update


def sign_update(request: SignRequest, variable: str, value: bytes, *, append: bool) -> bytes:
    """The `.auth` file that sets a variable to signature lists, or appends them; its time is now, or SOURCE_DATE_EPOCH.

    Raises `SigningError` where the signer has no key that can be used.
    """
    time = efi_time.of(source_date() or datetime.now(UTC))
    with signing_context(Path()) as context:
        (signer,) = open_signers([request], context)
        sign.check_key(signer)
        with errors_at(request), request.backend.running():
            if signer.key is None:
                raise SigningError(f"{signer.name} signs images only", where="backend", hint="take one that has a key")
            own = signer.key.certificates[0]
            return variable_update.authenticate(variable, value, time, signer.key.sign, own, append=append)
