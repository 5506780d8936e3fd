"""Predictions for images that anyone may have made."""

from collections.abc import Iterator
from contextlib import suppress

import msgspec

from fuki_build.errors import FukiError
from fuki_build.image.assemble import assemble
from fuki_build.image.digest_plan import measured_in
from fuki_build.image.inspect import inspect
from fuki_build.measure.boot import Addon, Boot, BootMethod
from fuki_build.measure.predict import cases, predict
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.measure.views import predictions_view

from .helper import image, workspace
from .target_inspect import seeds as images

_FILE = workspace() / "image.efi"
_BANKS = ("sha384",)


def seeds() -> Iterator[bytes]:
    yield from images()
    parts: list[tuple[str, bytes, int | None]] = [(".linux", b"MZ", None), (".cmdline", b"x", None)]
    yield image([*parts, (".initrd", b"one", None), (".ucode", b"two", None), (".uname", b"6", None)])


def run(data: bytes) -> None:
    _FILE.write_bytes(data)
    with suppress(FukiError):
        layout = inspect(_FILE)
        assembly = assemble(layout, digests=measured_in(_BANKS))
        # The same file as an addon beside itself: what an addon holds is read as well.
        boot = Boot(method=BootMethod.DIRECT, addons=(Addon("x.addon.efi", layout, assembly),))
        prediction = predict(
            SectionDigests(layout, assembly, _BANKS), cases(layout, None, layout.profiles or (None,)), boot
        )
        assert msgspec.json.encode(predictions_view(layout, prediction, [("enter-initrd",)], boot, rtmrs=True))
