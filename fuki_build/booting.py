"""What a program that boots images needs to know: which profile, what will be measured, and firmware with keys."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from fuki_build.errors import FukiError, RecipeError
from fuki_build.hardware.machine import Machine
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.records import SourceContext
from fuki_build.image.assemble import assemble
from fuki_build.image.blob import Blob
from fuki_build.image.describe import describe
from fuki_build.image.inspect import inspect
from fuki_build.image.layout import Layout
from fuki_build.measure.boot import Addon, Boot
from fuki_build.measure.contents import Contents
from fuki_build.measure.predict import Prediction, cases, predict
from fuki_build.signing import enrollment

_MAX_FILE = 16 * 1024 * 1024


def find_profiles(layout: Layout, text: str | None) -> Sequence[int | None]:
    """The profiles that `text` names by number or id; all where it is None, and `[None]` for an image without any.

    Raises `RecipeError` where there is none.
    """
    if text is None:
        return layout.profiles or (None,)
    profiles = describe(layout).profiles
    found = [p.number for p in profiles if text in (p.id, str(p.number))]
    if not found:
        there = ", ".join(f"{p.number} ({p.id})" for p in profiles) or "none"
        raise RecipeError(f"there is no profile {text!r}", where=layout.where, hint=f"there are: {there}")
    return found


def read_program(path: Path, banks: Iterable[str]) -> Addon:
    """An addon or EFI program beside the image, digested in these banks. Raises `FukiError`."""
    try:
        layout = inspect(path)
        return Addon(path.name, layout, assemble(layout, algorithms=banks, measured=True))
    except FukiError as error:
        raise error.at(str(path)) from error


def predict_boot(
    layout: Layout, machine: Machine, profile: int | None, boot: Boot, banks: tuple[str, ...]
) -> Prediction:
    """What one machine measures when it boots one profile of an image. Raises `FukiError`."""
    contents = Contents(layout, assemble(layout, algorithms=banks, measured=True), banks)
    (prediction,) = predict(contents, cases(layout, [machine], [profile]), boot)
    return prediction


def enrol_directory(store: Path, target: Path, keys: Path, host: PluginHost, workspace: Path) -> None:
    """Write the variable store `store` to `target` with the keys of a directory that `fuki keys generate` made.

    Its PK, KEK and db are used, and every `dbx.*`. The loaded plugins' enroller writes. Raises `FukiError`.
    """
    found = {name: keys / f"{name}.pem" for name in ("PK", "KEK", "db")}
    for name, path in found.items():
        if not path.is_file():
            hint = "make such a directory: fuki keys generate DIRECTORY"
            raise RecipeError(f"there is no {name}.pem, the certificate of {name}", where=str(keys), hint=hint)
    names = host.names("fuki_enrollers")
    if not names:
        hint = "load a plugin that can: --plugin virt-firmware"
        raise RecipeError("no loaded plugin can enrol Secure Boot keys", where=str(keys), hint=hint)

    def read(path: str, where: str) -> bytes:
        try:
            return Blob.of_file(Path(path)).read_small(_MAX_FILE, path)
        except FukiError as error:
            raise RecipeError(error.message, where=where, hint=error.hint) from error

    revoked = tuple(str(path) for path in sorted(keys.glob("dbx.*")))
    wanted = enrollment.Wanted(str(found["PK"]), (str(found["KEK"]),), (str(found["db"]),), revoked)
    loaded = enrollment.load_keys(wanted, read, lambda _: str(keys))
    enrollment.enroll(store, target, loaded, host.enroller(names[0]), SourceContext(keys, workspace))
