"""Reports on images that anyone may have made, policies and signatures among what they hold."""

from collections.abc import Iterator
from contextlib import suppress

from fuki_build import pipeline
from fuki_build.cli.render.page import page_of
from fuki_build.errors import FukiError
from fuki_build.image.inspect import inspect
from fuki_build.measure.boot import Boot
from fuki_build.report.gather import ReportOptions, gather
from fuki_build.report.machines import platform_groups
from fuki_build.signing.authenticode.trust import Trust

from .helper import image, workspace
from .target_inspect import seeds as images

_FILE = workspace() / "image.efi"
_HOST = pipeline.new_host()
_QUESTION = ReportOptions(
    groups=platform_groups(_HOST),
    trust=Trust(),
    level=(),
    banks=("sha256",),
    phases=[("enter-initrd",)],
    boot=lambda _: Boot(),
)
_POLICY = b'{"sha256":[{"pcrs":[11],"pkfp":"aa","pol":"bb","sig":"AA=="},{"pcrs":[4],"pkfp":"aa","pol":"bb"}]}'


def seeds() -> Iterator[bytes]:
    yield from images()
    base: list[tuple[str, bytes, int | None]] = [(".linux", b"MZ", None), (".pcrsig", _POLICY, None)]
    yield image([*base, (".profile", b"ID=a\nTITLE=<b>&amp;\x1b\n", 0), (".pcrsig", b"{}", 0)])


def run(data: bytes) -> None:
    _FILE.write_bytes(data)
    with suppress(FukiError):
        page = page_of(gather(inspect(_FILE), _HOST, _QUESTION))
        assert page.isprintable() or all(character.isprintable() or character == "\n" for character in page)
