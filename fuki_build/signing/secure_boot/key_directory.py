"""Directories of Secure Boot keys, as `fuki keys generate` makes them, into variable stores."""

from pathlib import Path

from fuki_build.errors import RecipeError, raised_as
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.sources import SourceContext
from fuki_build.image.blob import AnyPath, Blob
from fuki_build.signing.secure_boot import enrollment

_MAX_FILE = 16 * 1024 * 1024


def enroll_directory(store: AnyPath, target: AnyPath, keys: AnyPath, host: PluginHost, workspace: AnyPath) -> None:
    """Write the variable store `store` to `target` with the keys of a directory that `fuki keys generate` made.

    Its PK, KEK and db are used, and every `dbx.*`. The loaded plugins' enroller writes. Raises `FukiError`.
    """
    store, target, keys, workspace = map(Path, (store, target, keys, workspace))
    certificates = {name: keys / f"{name}.pem" for name in ("PK", "KEK", "db")}
    for name, path in certificates.items():
        if not path.is_file():
            hint = "make such a directory: fuki keys generate DIRECTORY"
            raise RecipeError(f"there is no {name}.pem, the certificate of {name}", where=str(keys), hint=hint)

    names = host.names("fuki_enrollers")
    if not names:
        hint = "load a plugin that can: --plugin virt-firmware"
        raise RecipeError("no loaded plugin can enroll Secure Boot keys", where=str(keys), hint=hint)

    def read(path: str, where: str) -> bytes:
        with raised_as(RecipeError, where):
            return Blob.of_file(Path(path)).read_small(_MAX_FILE, path)

    revoked = tuple(str(path) for path in sorted(keys.glob("dbx.*")))
    files = enrollment.KeyFiles(
        pk=str(certificates["PK"]), kek=(str(certificates["KEK"]),), db=(str(certificates["db"]),), dbx=revoked
    )
    loaded = enrollment.load_keys(files, read, lambda _: str(keys))
    enrollment.enroll(store, target, loaded, host.enroller(names[0]), SourceContext(keys, workspace))
