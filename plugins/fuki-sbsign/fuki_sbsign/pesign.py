"""pesign, whose keys are in NSS databases and the tokens that these know."""

from pathlib import Path
from typing import Annotated

from fuki_build.hooks import SECRET_SOURCES, SigningContext
from msgspec import Meta

from fuki_sbsign.call import Call
from fuki_sbsign.program import ProgramOptions, ProgramSigner


class PesignOptions(ProgramOptions, frozen=True, kw_only=True):
    nickname: Annotated[str, Meta(min_length=1, description="the certificate's name in the database or token")]
    directory: Annotated[str | None, Meta(description="the NSS database; pesign's own default is /etc/pki/pesign")] = (
        None
    )
    token: Annotated[str | None, Meta(description="the token with the key; by default the database itself")] = None
    pin: Annotated[str | None, Meta(description=f"of the token or database, {SECRET_SOURCES}; by default none")] = None


class Pesign(ProgramSigner):
    """pesign, with SHA-256 and the certificates that the database has for the signer's.

    >>> Pesign.Options(nickname="Acme db", directory="nss", pin="credential:nss").nickname
    'Acme db'
    """

    name = "pesign"
    Options = PesignOptions
    packages = "Debian, Fedora: pesign; Arch: pesign from the AUR"

    def prepare(self, call: Call, image: Path, output: Path, options: PesignOptions, context: SigningContext) -> None:
        call.arguments += ["--sign", f"--certificate={options.nickname}"]
        if options.directory is not None:
            call.arguments.append(f"--certdir={(context.directory / options.directory).absolute()}")
        if options.token is not None:
            call.arguments.append(f"--token={options.token}")

        if options.pin is None:
            call.hint = "if the database or token has a password, name its source with 'pin'"
        else:
            secret = context.secret(options.pin, f"password for {options.token or options.nickname}", "pin")
            call.hint = "are password and nickname right? 'certutil -L -d' with the directory tells the nicknames"
            # pesign drops the last byte as a line break, whatever it is.
            call.arguments.append(f"--pinfile={call.secret_file(secret, end=chr(10))}")

        call.arguments += [f"--in={image}", f"--out={output}"]
