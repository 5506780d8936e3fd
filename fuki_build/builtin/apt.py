"""Debian packages through the machine's own apt: downloaded and unpacked, never installed.

Other suites are asked for in an apt root of our own, whose sources are derived from the machine's; its configuration,
lists and installed packages stay as they are.
"""

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from fuki_build import programs
from fuki_build.errors import FukiError, RecipeError
from fuki_build.formats.uki import env_file

_SOURCES = Path("/etc/apt")
_LISTS_AGE = 24 * 3600
"""Seconds after which a suite's package lists are asked for again."""
_TIMEOUT = 3600.0
_LARGEST_OUTPUT = 16 * 1024 * 1024
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
_VARIABLES = (*_PROXIES, *map(str.upper, _PROXIES), "APT_CONFIG", "TMPDIR")
"""What apt takes from the environment, beside where programs are."""
SUITE = "^[A-Za-z0-9][A-Za-z0-9+._-]*(/[A-Za-z0-9][A-Za-z0-9+._-]*)*$"
"""A suite's name: it becomes part of a path, and of apt's configuration."""
VERSION = "^[A-Za-z0-9.+~:-]+$"
_DIGESTS = {"SHA256": "sha256", "SHA512": "sha512"}
"""By apt's names, those that a file in the cache is trusted for."""


class Source(Struct, frozen=True):
    """One line of an apt sources file."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


def cache_directory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fuki" / "apt"


def download(
    package: str,
    version: str | None = None,
    *,
    suite: str | None = None,
    architecture: str | None = None,
    sha256: str | None = None,
) -> Path:
    """A package's .deb file in the cache. With version and digest given, one that is there is used as it is.

    Raises `FukiError` when apt is missing or has no such package, and `RecipeError` on another digest.
    """
    if version and sha256:
        for path in sorted((cache_directory() / "packages").glob(f"{package}_*.deb")):
            if sha256_of(path) == sha256 and fields(path)["Version"] == version:
                return path

    if not shutil.which("apt-get"):
        raise FukiError("this machine has no apt", hint="take the firmware from a file or a directory instead")

    with _alone():
        root = _root(suite, architecture) if suite is not None or architecture else None
        path = _fetch(f"{package}={version}" if version else package, root)

    if sha256 and sha256_of(path) != sha256:
        raise RecipeError(f"{path.name} has SHA-256 {sha256_of(path)}, the recipe says {sha256}")
    return path


def unpack(deb: Path, into: Path) -> None:
    """Unpack a package's files below `into`."""
    into.mkdir(parents=True, exist_ok=True)
    _run(["dpkg-deb", "--extract", str(deb), str(into)])


def fields(deb: Path) -> Mapping[str, str]:
    """Package, Version and Architecture of a .deb file."""
    text = _run(["dpkg-deb", "--field", str(deb), "Package", "Version", "Architecture"])
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)


def dependency(package: str, *, suite: str | None = None, architecture: str | None = None) -> str:
    """The first dependency of a package: what a metapackage such as linux-image-amd64 stands for."""
    with _alone():
        root = _root(suite, architecture) if suite is not None or architecture else None
    depends = re.search(r"^\s*Depends: (\S+)$", _run(["apt-cache", "depends", package], root), re.MULTILINE)
    if not depends:
        raise FukiError(f"apt knows no package {package!r}", hint="run 'apt-get update'")
    return depends[1].partition(":")[0]


def download_closure(
    packages: Sequence[str], into: Path, *, suite: str | None = None, architecture: str | None = None
) -> tuple[Path, ...]:
    """Download packages with all that they depend on, as if none were installed; their .deb files, in no cache.

    Raises `FukiError` when apt has no such package.
    """
    into.mkdir(parents=True, exist_ok=True)
    with _alone():
        root = _root(suite, architecture)
        nothing_installed = ("--option", "Dir::State::status=/dev/null", "--no-install-recommends")
        plan = _run(["apt-get", "--simulate", *nothing_installed, "install", *packages], root, hint=_why_missing(root))
        names = re.findall(r"^Inst (\S+)", plan, re.MULTILINE)
        _run(["apt-get", "--quiet", "download", *names], root, cwd=into)
    return tuple(sorted(into.glob("*.deb")))


@contextmanager
def _alone() -> Iterator[None]:
    """Builds run side by side, and two runs of apt on one root do not."""
    directory = cache_directory()
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class _Offer(Struct, frozen=True):
    """What apt would download: a file's name, and its digest where apt knows one that counts."""

    name: str
    algorithm: str
    digest: str

    def is_at(self, path: Path) -> bool:
        """Whether the file that is there is this one. By its name alone, it might be anybody's."""
        return bool(self.algorithm) and path.is_file() and _digest(path, self.algorithm) == self.digest


def _fetch(request: str, root: Path | None) -> Path:
    packages = cache_directory() / "packages"
    packages.mkdir(parents=True, exist_ok=True)

    offer = _offer(request, root)
    path = packages / offer.name
    if offer.is_at(path):
        return path
    for left_behind in packages.glob(".*"):  # by one that was killed; there is no other one now
        shutil.rmtree(left_behind, ignore_errors=True)

    # apt writes into the current directory, and checks what is there against its lists.
    with tempfile.TemporaryDirectory(prefix=".", dir=packages) as partial:
        _run(["apt-get", "--quiet", "download", request], root, cwd=Path(partial))
        downloaded = Path(partial, offer.name)
        if offer.algorithm and not offer.is_at(downloaded):
            raise FukiError(f"apt downloaded another {offer.name} than it had announced", hint="try again")
        downloaded.replace(path)
    return path


def _offer(request: str, root: Path | None) -> _Offer:
    """What `apt-get --print-uris` says: the quoted URI, the file's name, its size, algorithm and digest."""
    uris = _run(["apt-get", "download", "--print-uris", request], root, hint=_why_missing(root))
    match = re.search(r"^'[^']+' ([^\s/]+) \d+ ?(?:(\w+):([0-9a-f]+))?$", uris, re.MULTILINE)
    if not match:
        raise FukiError(f"apt does not say where {request} is")
    name, algorithm, digest = match.groups("")
    return _Offer(name, _DIGESTS.get(algorithm, ""), digest)


def _why_missing(root: Path | None) -> str:
    return "check name and version" if root else "check name and version; 'apt-get update' refreshes apt's lists"


def _root(suite: str | None, architecture: str | None) -> Path:
    """An apt root for one suite and architecture, its lists at most a day old."""
    if suite is not None and not re.fullmatch(SUITE, suite):
        raise RecipeError(f"{suite!r} is no name of a suite")
    host = _run(["dpkg", "--print-architecture"]).strip()

    source = _machine_source()
    suite = suite or source.suites[0]
    root = cache_directory() / f"{suite.replace('/', '_')}-{architecture or host}"

    if set('"\n') & set(str(root)):
        raise FukiError(f"apt cannot be told of the directory {str(root)!r}", hint="set XDG_CACHE_HOME to another")

    for name in ("lists/partial", "archives/partial", "parts"):
        (root / name).mkdir(parents=True, exist_ok=True)

    signed = f"[signed-by={source.signed_by}] " if source.signed_by else ""
    (root / "sources.list").write_text(f"deb {signed}{source.uri} {suite} main\n")
    (root / "apt.conf").write_text(_configuration(root, architecture or host))

    stamp = root / "updated"
    if not stamp.exists() or _age(stamp) > _LISTS_AGE:
        _run(["apt-get", "--quiet", "update"], root, hint=f"does the archive have a suite {suite!r}?")
        stamp.write_text("")
    return root


def _configuration(root: Path, architecture: str) -> str:
    """Only what differs from the machine's: proxies, certificates and how strict apt is stay in force."""
    return f"""\
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
Acquire::Languages "none";
Dir::State::lists "{root}/lists";
Dir::Cache::archives "{root}/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "{root}/parts";
Dir::Etc::preferences "{root}/preferences";
Dir::Etc::preferencesparts "{root}/parts";
"""


def _age(stamp: Path) -> float:
    import time  # noqa: PLC0415 - the one place that asks for the time: how old lists are

    return time.time() - stamp.stat().st_mtime


def _machine_source() -> Source:
    """The archive that this release of Debian is installed from."""
    release = env_file.decode(Path("/etc/os-release").read_bytes()).get("VERSION_CODENAME", "")
    sources = list(_machine_sources())
    for source in sources:
        if "main" in source.components and (release in source.suites or (not release and source.suites)):
            return source
    raise FukiError("apt's sources name no Debian archive", hint=f"looked below {_SOURCES}")


def _machine_sources() -> Iterator[Source]:
    for path in [_SOURCES / "sources.list", *sorted((_SOURCES / "sources.list.d").glob("*"))]:
        if path.suffix not in (".list", ".sources") or not path.is_file():
            continue
        parse = _parse_stanzas if path.suffix == ".sources" else _parse_lines
        yield from parse(path.read_text(encoding="utf-8", errors="replace"))


def _parse_stanzas(text: str) -> Iterator[Source]:
    """deb822 form (sources.list(5))."""
    for stanza in re.split(r"\n\s*\n", text):
        lines = [line for line in stanza.splitlines() if not line.startswith("#")]
        values = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines if ":" in line)}
        if "deb" in values.get("Types", "").split() and values.get("Enabled", "yes") != "no":
            for uri in values.get("URIs", "").split():
                signed = values.get("Signed-By", "")
                yield Source(
                    uri,
                    tuple(values.get("Suites", "").split()),
                    tuple(values.get("Components", "").split()),
                    signed if signed.startswith("/") else "",
                )


def _parse_lines(text: str) -> Iterator[Source]:
    """One-line form (sources.list(5))."""
    for line in text.splitlines():
        entry = re.match(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(.*)", line)
        if entry:
            options = dict(word.partition("=")[::2] for word in (entry[1] or "").split())
            yield Source(entry[2], (entry[3],), tuple(entry[4].split()), options.get("signed-by", ""))


def _run(command: Sequence[str], root: Path | None = None, *, cwd: Path | None = None, hint: str | None = None) -> str:
    more = {"APT_CONFIG": str(root / "apt.conf")} if root else {}
    done = programs.run(
        command,
        environment=programs.environment(*_VARIABLES, **more),
        directory=cwd,
        timeout=_TIMEOUT,
        largest_output=_LARGEST_OUTPUT,
    )

    stderr = done.stderr.decode(errors="replace")
    if done.code:
        problems = [line for line in stderr.splitlines() if line.startswith(("E:", "dpkg"))]
        raise FukiError(
            f"{' '.join(command[:2])} failed: {'; '.join(problems) or done.last_lines() or done.how}", hint=hint
        )
    return done.stdout.decode(errors="replace")


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file in hex."""
    return _digest(path, "sha256")
