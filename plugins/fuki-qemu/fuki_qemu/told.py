"""What a guest told, in the directory of its boot: read, and kept for whoever asked for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fuki_build import OutputFiles
from fuki_build.errors import FukiError

from fuki_qemu import report
from fuki_qemu.report import GuestReport

_PIECE = 1024 * 1024


def read_report(place: Path) -> GuestReport | None:
    """What the probe told, through whichever way it found."""
    for name in ("report", "debug"):
        path = place / name
        if path.is_file() and path.stat().st_size:
            with path.open("rb") as file:
                guest_report = report.decode(file.read(report.MAX_SIZE + 1))
            if guest_report is not None:
                return guest_report
    return None


@contextmanager
def kept(place: Path, keep: Path | None) -> Iterator[None]:
    """Leave in `keep` what the guest told, whatever comes of it."""
    try:
        yield
    finally:
        if keep is not None:
            keep_told(place, keep)


def keep_told(place: Path, keep: Path) -> None:
    """Copy what the guest told into the directory `keep`, as far as there is something. Raises `FukiError`."""
    with OutputFiles() as files:
        for name in ("console", "report", "debug"):
            if (place / name).is_file() and (place / name).stat().st_size:
                file = files.open(keep / name)
                with (place / name).open("rb") as told:
                    while piece := told.read(_PIECE):
                        file.write(piece)

        guest_report = _salvage(place)
        if guest_report is not None and guest_report.log is not None:
            files.open(keep / "event-log").write(guest_report.log)
        files.commit()


def _salvage(place: Path) -> GuestReport | None:
    try:
        return read_report(place)
    except FukiError:
        return None
