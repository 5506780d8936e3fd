"""Pictures of the pages that fuki writes, for the documentation: `make screenshots` makes docs/images anew.

    python tools/screenshots.py DIRECTORY

The pages are of examples/fleet, signed with keys that are made for it. Needs Debian's chromium-headless-shell.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import parts
from playwright.sync_api import ViewportSize, sync_playwright

BROWSER = "chromium-headless-shell"
PLUGINS = ("--plugin", "gcp", "--plugin", "virt")
IMAGE = "out/fleet_1.efi"


class Screenshot(NamedTuple):
    """A picture of the top of a page, in CSS pixels; `dark` is as readers with dark windows see it."""

    page: str
    width: int
    height: int
    dark: bool = False


SCREENSHOTS = {
    "report.png": Screenshot("report.html", 1000, 860),
    "report-narrow-dark.png": Screenshot("report.html", 375, 860, dark=True),
    "plan.png": Screenshot("plan.html", 1000, 700),
    "differences.png": Screenshot("differences.html", 1000, 700),
}


def main() -> None:
    """Write all screenshots into the directory that the command line names."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="fuki-") as scratch:
        place = Path(scratch, "fleet")
        write_pages(place)
        take(place, directory)


def write_pages(place: Path) -> None:
    """Build examples/fleet in `place`, and what else the screenshots are of."""
    shutil.copytree(parts.CHECKOUT / "examples" / "fleet", place)
    parts.quickstart(place / "parts")
    _fuki(place, "keys", "generate", "keys", "--name", "Acme")
    _fuki(place, "build")
    _fuki(place, "sign", IMAGE, "--key", "keys/db.key", "--certificate", "keys/db.pem")
    trusted = ("--certificate", "keys/db.pem", "--no-boot-secret")
    _fuki(place, *PLUGINS, "report", IMAGE, *trusted, "-o", "report.html")
    (place / "plan.html").write_bytes(_fuki(place, "plan", "--html"))
    _fuki(place, "edit", IMAGE, "--set", ".cmdline=root=LABEL=root rw", "-o", "changed.efi")
    _fuki(place, *PLUGINS, "diff", IMAGE, "changed.efi", "--no-boot-secret", "--html", "differences.html")


def take(place: Path, directory: Path) -> None:
    """Photograph the pages in `place`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which(BROWSER), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        for name, shot in SCREENSHOTS.items():
            viewport: ViewportSize = {"width": shot.width, "height": shot.height}
            context = browser.new_context(viewport=viewport, color_scheme="dark" if shot.dark else "light")
            page = context.new_page()
            page.goto((place / shot.page).as_uri())
            page.screenshot(path=directory / name)
            context.close()
        browser.close()


def _fuki(place: Path, *arguments: str) -> bytes:
    command = [sys.executable, "-m", "fuki_build", *arguments]
    return subprocess.run(command, cwd=place, check=True, stdout=subprocess.PIPE).stdout


if __name__ == "__main__":
    main()
