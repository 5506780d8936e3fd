"""The output format `sysupdate`: a directory that systemd-sysupdate fetches the image from, and what tells it to."""

import hashlib
import os
import re
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from fuki_build import Blob, programs
from fuki_build.errors import FukiError, RecipeError, SigningError, raised_as
from fuki_build.hooks import (
    NO_DIGESTS,
    Build,
    DigestNeeds,
    Options,
    OutputContext,
    OutputFormat,
    PlannedFile,
    PreviewContext,
    hookimpl,
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~^-]*")
"""What systemd takes for a version, without `+`, behind which boot loaders look for their count of tries."""
_LINE = re.compile(r"[^\s%\\][^\n\\%]*")
"""A value as it is in a unit file: no specifier, no continued line."""
_GPG_TIMEOUT = 300.0
_Count = Annotated[int, Meta(ge=0, le=1000)]


class SysupdateOptions(Options, frozen=True, kw_only=True):
    url: Annotated[str, Meta(description="where machines find the directory, for instance https://…/acme/")]
    tries: Annotated[_Count, Meta(description="boots that a new image has to succeed in; 0 for no counting")] = 3
    instances: Annotated[
        Annotated[int, Meta(ge=2, le=1000)], Meta(description="images that a machine keeps, the new one among them")
    ] = 2
    directory: Annotated[str, Meta(description="where images are on the machine's boot partition")] = "/EFI/Linux"
    conf: Annotated[bool, Meta(description="name the definition .conf, for systemd before 257")] = False
    gpg_key: Annotated[str | None, Meta(description="sign SHA256SUMS with this key of GnuPG's")] = None
    gpg_home: Annotated[str | None, Meta(description="the directory with GnuPG's keys; by default the user's")] = None


class SysupdateOutput(OutputFormat):
    """The image as `<name>_<version>.efi` with SHA256SUMS and its signature, and a definition for systemd-sysupdate.

    >>> SysupdateOutput.Options(url="https://acme.example/").tries
    3
    """

    name = "sysupdate"
    suffix = ".sysupdate"
    Options = SysupdateOptions
    needs_image_file = True

    def digests(self, options: SysupdateOptions) -> DigestNeeds:  # noqa: ARG002
        return NO_DIGESTS

    def preview(self, options: SysupdateOptions, context: PreviewContext) -> Sequence[PlannedFile]:  # noqa: ARG002
        return [PlannedFile(context.path, many=True)]

    def emit(self, options: SysupdateOptions, build: Build, context: OutputContext) -> None:
        _check(options, build)
        if build.uki.path is None:
            raise ValueError("the image has no file")
        with build.uki.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        image = f"{build.name}_{build.version}.efi"
        sums = f"{digest}  {image}\n".encode()

        suffix = "conf" if options.conf else "transfer"
        context.write(context.path / image, Blob.of_file(build.uki.path))
        context.write(context.path / "SHA256SUMS", sums)
        if options.gpg_key is not None:
            context.write(context.path / "SHA256SUMS.gpg", _sign(sums, options.gpg_key, options, context))
        definition = context.path / "sysupdate.d" / f"50-{build.name}.{suffix}"
        context.write(definition, transfer(build.name, options).encode())


def transfer(name: str, options: SysupdateOptions) -> str:
    """The definition (sysupdate.d(5)) by which machines fetch the image, in the newest version that there is."""
    patterns = f"{name}_@v+@l-@d.efi {name}_@v+@l.efi {name}_@v.efi"
    counting = f"TriesLeft={options.tries}\nTriesDone=0\n" if options.tries else ""
    return f"""\
[Transfer]
ProtectVersion=%A
Verify=yes

[Source]
Type=url-file
Path={options.url}
MatchPattern={name}_@v.efi

[Target]
Type=regular-file
Path={options.directory}
PathRelativeTo=boot
MatchPattern={patterns if options.tries else f"{name}_@v.efi"}
Mode=0444
{counting}InstancesMax={options.instances}
"""


def _check(options: SysupdateOptions, build: Build) -> None:
    if not build.version:
        hint = 'add version = "…": systemd-sysupdate takes what has a higher one'
        raise RecipeError("the recipe has no version", where="fuki.version", hint=hint)
    if not _VERSION.fullmatch(build.version):
        hint = "letters, digits and . _ ~ ^ - do; behind '+' boot loaders count tries"
        raise RecipeError(
            f"version {build.version!r} cannot be part of an image's name", where="fuki.version", hint=hint
        )
    if not _NAME.fullmatch(build.name):
        raise RecipeError(f"systemd-sysupdate finds no images of the name {build.name!r}", where="fuki.name")

    for key, value in (("url", options.url), ("directory", options.directory)):
        if not _LINE.fullmatch(value):
            raise RecipeError(f"{value!r} cannot be written into a definition", where=key)

    if build.addons:
        hint = "make profiles of them, or write no sysupdate output"
        raise RecipeError("systemd-sysupdate takes no addons beside an image", where="fuki.addon", hint=hint)


def _sign(sums: bytes, key: str, options: SysupdateOptions, context: OutputContext) -> bytes:
    """A detached signature by gpg. It asks nobody: a key with a passphrase must be unlocked in its agent."""
    if options.gpg_home is not None:
        # Its gpg.conf names programs.
        context.check_command(options.gpg_home, "gpg-home")
    home = () if options.gpg_home is None else ("--homedir", str(context.directory / options.gpg_home))
    command = ["gpg", "--batch", "--no-tty", *home, *_time(), "--local-user", key, "--detach-sign", "--output", "-"]
    with raised_as(SigningError, "gpg-key", of=FukiError):
        done = programs.run(
            command,
            environment=programs.environment("GNUPGHOME", "GPG_AGENT_INFO", "XDG_RUNTIME_DIR"),
            stdin=sums,
            timeout=_GPG_TIMEOUT,
        )
        if done.code or not done.stdout:
            hint = "sign it elsewhere: gpg --detach-sign --output SHA256SUMS.gpg SHA256SUMS"
            raise SigningError(f"gpg {done.how}: {done.last_lines(2)}", hint=hint)

    return done.stdout


def _time() -> Sequence[str]:
    """With SOURCE_DATE_EPOCH, the signature is the same each time."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    return ("--faked-system-time", f"{int(epoch)}!") if epoch.isascii() and epoch.isdigit() else ()


@hookimpl
def fuki_outputs() -> Sequence[type[OutputFormat]]:
    return [SysupdateOutput]
