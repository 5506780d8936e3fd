"""Digests that are kept: what a second run reads and hashes, counted in bytes, and that it says the same."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fuki_build.formats import digest_entry
from fuki_build.image import digest_cache, file_state
from fuki_build.image.inspect import inspect
from fuki_build.testing import invoke, recipe, succeed
from tests.support.counted import Counts, count_bytes

MIB = 1024 * 1024
LOG = Path(__file__).parents[1] / "data/event-logs/direct-262.log"
"""Of a machine that booted an image as these are, handed over by the hypervisor."""
SIZES = {"small.efi": 1, "large.efi": 9}
"""MiB of an initrd of what does not compress."""
VERBS: dict[str, tuple[str, ...]] = {
    "digests": ("digests",),
    "inspect": ("inspect", "--digests"),
    "inspect --json": ("inspect", "--digests", "--json"),
    "measure": ("measure",),
    "measure --log": ("measure", "--log", str(LOG)),
    "measure --json": ("measure", "--bank", "all", "--rtmr", "--events", "--json"),
}
"""What takes `--cache`."""
NEVER = {
    "check": ("check",),
    "check --json": ("check", "--json"),
    "match": ("match", "--platform", "qemu"),
    "match --json": ("match", "--platform", "qemu", "--json"),
    "verify": ("verify",),
    "verify --json": ("verify", "--json"),
}

KEEPING = """
import sys, time
from fuki_build.cli.main import main
from fuki_build.image import file_state
real = time.time_ns
time.time_ns = lambda: real() + 3600 * 10**9
file_state.file_system = lambda descriptor: "ext4"
main()
"""
"""The command line, an hour later, on a file system whose states have names."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, part: Callable[[str], Path]) -> Path:
    directory = tmp_path_factory.mktemp("fleet")
    for name, source in (("stub", "stub-x64"), ("vmlinuz", "kernel-x64")):
        (directory / name).symlink_to(part(source))
    for name, size in SIZES.items():
        (directory / "initrd").write_bytes(os.urandom(size * MIB))
        (directory / "fuki.toml").write_text(recipe(name="kept", cmdline="console=tty0", initrd="initrd"))
        succeed(directory, "build", "-o", name)
    return directory


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where digests are kept, on whatever file system the tests run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(file_state, "file_system", lambda _: "ext4")
    return tmp_path / "cache/fuki/digests"


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour after the images were written."""
    real = digest_cache.time.time_ns
    monkeypatch.setattr(digest_cache.time, "time_ns", lambda: real() + 3600 * 10**9)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    return count_bytes(monkeypatch)


@pytest.fixture
def fleet(tmp_path: Path, built: Path) -> Path:
    """Images of this test's own, which it may change."""
    directory = tmp_path / "images"
    directory.mkdir()
    for name in SIZES:
        (directory / name).write_bytes((built / name).read_bytes())
    return directory


def read_by(counts: Counts, directory: Path, *arguments: object) -> int:
    counts.reset()
    succeed(directory, *arguments)
    return counts.read


@pytest.mark.usefixtures("kept", "later")
@pytest.mark.parametrize("verb", VERBS)
class TestSecondRun:
    def test_it_reads_and_hashes_as_little_of_a_large_image_as_of_a_small_one(
        self, fleet: Path, counts: Counts, verb: str
    ):
        work: dict[str, list[tuple[int, int]]] = {name: [] for name in SIZES}
        for name, runs in work.items():
            for _ in range(2):
                read = read_by(counts, fleet, *VERBS[verb], "--cache", name)
                runs.append((read, counts.hashed))
        first, second = zip(*work.values(), strict=True)
        assert all(large - small >= 8 * MIB for small, large in zip(*first, strict=True))
        assert second[0] == second[1]
        assert max(second[0]) < MIB

    def test_it_says_what_is_said_without_the_cache(self, fleet: Path, verb: str):
        for name in SIZES:
            alone = invoke(fleet, *VERBS[verb], name)
            assert alone.out
            assert [invoke(fleet, *VERBS[verb], "--cache", name) for _ in range(2)] == [alone, alone]

    def test_without_the_option_it_reads_everything(self, fleet: Path, counts: Counts, verb: str):
        succeed(fleet, *VERBS[verb], "--cache", "large.efi")
        assert read_by(counts, fleet, *VERBS[verb], "large.efi") > 9 * MIB


@pytest.mark.usefixtures("kept", "later")
class TestVerbsThatKeepNone:
    @pytest.mark.parametrize("verb", NEVER)
    def test_they_say_the_same_with_digests_in_the_cache(self, fleet: Path, verb: str):
        alone = invoke(fleet, *NEVER[verb], "large.efi")
        succeed(fleet, "measure", "--bank", "all", "--cache", "large.efi")
        assert invoke(fleet, *NEVER[verb], "large.efi") == alone

    @pytest.mark.parametrize("verb", NEVER)
    def test_they_have_no_such_option(self, fleet: Path, verb: str):
        outcome = invoke(fleet, *NEVER[verb], "--cache", "large.efi")
        assert outcome.code == 2
        assert "No such option" in outcome.err

    def test_a_verdict_is_given_on_all_bytes(self, fleet: Path, counts: Counts):
        for arguments in (["measure"], ["digests"], ["inspect", "--digests"]):
            succeed(fleet, *arguments, "--cache", "large.efi")
        counts.reset()
        invoke(fleet, "verify", "large.efi")
        assert counts.read > 9 * MIB
        assert counts.hashed > 9 * MIB

    @pytest.mark.parametrize("arguments", [("measure", "--format", "pcrlock"), ("inspect",)])
    def test_where_nothing_would_be_kept_the_option_is_refused(self, fleet: Path, arguments: tuple[str, ...]):
        outcome = invoke(fleet, *arguments, "--cache", "large.efi")
        assert outcome.code == 2
        assert "--cache" in outcome.err


MEASURE = ("measure", "--json", "--cache", "large.efi")


@pytest.mark.usefixtures("later")
class TestChanges:
    def test_a_byte_is_noticed_though_size_and_time_are_as_before(self, kept: Path, fleet: Path, counts: Counts):
        image = fleet / "large.efi"
        succeed(fleet, *MEASURE)
        status = image.stat()
        with image.open("r+b") as file:
            file.seek(-MIB, os.SEEK_END)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert (image.stat().st_size, image.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)

        assert read_by(counts, fleet, *MEASURE) > 9 * MIB
        assert len(list(kept.iterdir())) == 2
        assert succeed(fleet, *MEASURE).out == succeed(fleet, "measure", "--json", "large.efi").out

    @pytest.mark.usefixtures("kept")
    def test_another_file_under_the_name_is_another_file(self, fleet: Path):
        succeed(fleet, *MEASURE)
        (fleet / "small.efi").replace(fleet / "large.efi")
        assert succeed(fleet, *MEASURE).out == succeed(fleet, "measure", "--json", "large.efi").out

    @pytest.mark.usefixtures("kept")
    def test_another_name_of_the_file_is_the_same_file(self, fleet: Path, counts: Counts):
        (fleet / "link.efi").hardlink_to(fleet / "large.efi")
        succeed(fleet, *MEASURE)
        assert read_by(counts, fleet, "measure", "--cache", "link.efi") < MIB

    @pytest.mark.usefixtures("kept")
    def test_a_copy_is_another_file(self, fleet: Path, counts: Counts):
        succeed(fleet, *MEASURE)
        (fleet / "copy.efi").write_bytes((fleet / "large.efi").read_bytes())
        assert read_by(counts, fleet, "measure", "--cache", "copy.efi") > 9 * MIB

    def test_what_changes_while_it_is_read_is_not_kept(self, kept: Path, fleet: Path, monkeypatch: pytest.MonkeyPatch):
        assemble = digest_cache.assemble

        def disturbed(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - whatever it takes and gives
            assembly = assemble(*arguments, **options)
            status = (fleet / "large.efi").stat()
            os.utime(fleet / "large.efi", ns=(status.st_atime_ns, status.st_mtime_ns))
            return assembly

        monkeypatch.setattr(digest_cache, "assemble", disturbed)
        succeed(fleet, *MEASURE)
        assert list(kept.iterdir()) == []


@pytest.mark.usefixtures("kept")
def test_a_file_that_was_just_written_is_read_each_time(kept: Path, fleet: Path, counts: Counts):
    """A change in the same tick of the clock would leave its times as they are."""
    soon = (fleet / "large.efi").stat().st_ctime_ns + 10**9
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digest_cache.time, "time_ns", lambda: soon)
        for _ in range(2):
            assert read_by(counts, fleet, *MEASURE) > 9 * MIB
    assert list(kept.iterdir()) == []


@pytest.mark.usefixtures("kept", "later")
def test_a_time_ahead_of_the_clock_is_not_trusted(kept: Path, fleet: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(digest_cache.time, "time_ns", lambda: 0)
    succeed(fleet, *MEASURE)
    assert list(kept.iterdir()) == []


@pytest.mark.usefixtures("kept", "later")
class TestSectionsThatAreFollowedByMore:
    @pytest.fixture
    def with_addon(self, built: Path, tmp_path: Path) -> tuple[object, ...]:
        """An addon's initrd is measured behind the image's own, where no secret comes between."""
        (built / "more").write_bytes(b"more" * 100)
        more = '[[fuki.addon]]\nname = "more"\ninitrd = "more"\n'
        (built / "addon.toml").write_text((built / "fuki.toml").read_text() + more)
        succeed(built, "build", "addon.toml", "-o", tmp_path / "with.efi")
        addon = tmp_path / "with.efi.extra.d/more.addon.efi"
        return ("measure", "--json", "--no-boot-secret", "--addon", addon, "large.efi")

    def test_zeros_that_are_in_memory_only_cost_nothing_again(self, fleet: Path, counts: Counts):
        """As ukify makes `.linux` since 257."""
        layout = inspect(fleet / "large.efi")
        linux = next(section for section in layout.plain_sections if section.name == ".linux")
        size = layout.sections[linux.index].header.virtual_size
        with (fleet / "large.efi").open("r+b") as file:
            file.seek(layout.headers.virtual_size_offset(linux.index))
            file.write((size + 5 * MIB // 2).to_bytes(4, "little"))

        alone = succeed(fleet, "measure", "--json", "large.efi")
        assert [succeed(fleet, *MEASURE) for _ in range(2)] == [alone, alone]
        assert read_by(counts, fleet, *MEASURE) < MIB

    def test_an_initrd_that_an_addon_adds_to_is_not_read_again(
        self, fleet: Path, counts: Counts, with_addon: tuple[object, ...]
    ):
        alone = succeed(fleet, *with_addon)
        assert [succeed(fleet, *with_addon, "--cache") for _ in range(2)] == [alone, alone]
        assert read_by(counts, fleet, *with_addon, "--cache") < MIB

    def test_an_addon_that_is_new_costs_one_read_of_the_initrd(
        self, fleet: Path, counts: Counts, with_addon: tuple[object, ...]
    ):
        alone = succeed(fleet, *with_addon)
        succeed(fleet, *MEASURE)
        counts.reset()
        assert succeed(fleet, *with_addon, "--cache") == alone
        assert 9 * MIB < counts.read < 10 * MIB
        assert read_by(counts, fleet, *with_addon, "--cache") < MIB

    def test_more_than_is_held_in_memory_is_hashed_each_time(
        self, fleet: Path, counts: Counts, with_addon: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(digest_cache, "_MOST_MORE", 100)
        alone = succeed(fleet, *with_addon)
        succeed(fleet, *MEASURE)
        for _ in range(2):
            counts.reset()
            assert succeed(fleet, *with_addon, "--cache") == alone
            assert 9 * MIB < counts.read < 10 * MIB


@pytest.mark.usefixtures("later")
class TestPlace:
    def test_nobody_else_can_read_what_is_kept(self, kept: Path, fleet: Path):
        succeed(fleet, *MEASURE)
        (entry,) = kept.iterdir()
        assert [path.stat().st_mode & 0o777 for path in (kept.parent, kept, entry)] == [0o700, 0o700, 0o600]

    def test_a_directory_in_which_others_may_write_is_done_without(self, kept: Path, fleet: Path, counts: Counts):
        succeed(fleet, *MEASURE)
        kept.chmod(0o777)
        assert read_by(counts, fleet, *MEASURE) > 9 * MIB

    @pytest.mark.usefixtures("kept")
    @pytest.mark.parametrize("place", ["/proc", "/dev/null", "relative", ""])
    def test_without_a_place_that_can_be_written_nothing_is_kept(
        self, fleet: Path, counts: Counts, monkeypatch: pytest.MonkeyPatch, place: str
    ):
        monkeypatch.setenv("XDG_CACHE_HOME", place)
        monkeypatch.setenv("HOME", "/proc")
        alone = succeed(fleet, "measure", "--json", "large.efi")
        for _ in range(2):
            counts.reset()
            assert succeed(fleet, *MEASURE) == alone
            assert counts.read > 9 * MIB

    @pytest.mark.parametrize("system", ["9p", "f2fs", "fuse.sshfs", "nfs4", "overlay", "tmpfs", "vfat", None])
    def test_on_other_file_systems_nothing_is_kept(
        self, kept: Path, fleet: Path, monkeypatch: pytest.MonkeyPatch, system: str | None
    ):
        monkeypatch.setattr(file_state, "file_system", lambda _: system)
        succeed(fleet, *MEASURE)
        assert list(kept.iterdir()) == []

    def test_after_another_boot_everything_is_read(
        self, kept: Path, fleet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        succeed(fleet, *MEASURE)
        (tmp_path / "boot_id").write_text("d7a0ee2b-8d51-4b6f-8a7c-3d7c9d0c7c55\n")
        monkeypatch.setattr(file_state, "_BOOT_ID", tmp_path / "boot_id")
        succeed(fleet, *MEASURE)
        assert len(list(kept.iterdir())) == 2

    def test_an_entry_that_would_be_too_large_is_not_kept(
        self, kept: Path, fleet: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(digest_entry, "MAX_SIZE", 1000)
        succeed(fleet, *MEASURE)
        assert list(kept.iterdir()) == []
        succeed(fleet, "digests", "--cache", "large.efi")
        assert len(list(kept.iterdir())) == 1

    def test_a_full_entry_makes_room_for_what_is_asked_now(
        self, kept: Path, fleet: Path, counts: Counts, monkeypatch: pytest.MonkeyPatch
    ):
        succeed(fleet, *MEASURE)
        (entry,) = kept.iterdir()
        monkeypatch.setattr(digest_entry, "MAX_SIZE", entry.stat().st_size)
        other = ("measure", "--bank", "sha1", "--json", "--cache", "large.efi")
        alone = succeed(fleet, *other)
        assert read_by(counts, fleet, *other) < MIB
        assert succeed(fleet, *other) == alone

    def test_it_stays_bounded(self, kept: Path, fleet: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(digest_cache, "MOST_ENTRIES", 4)
        for number in range(9):
            os.utime(fleet / "large.efi", ns=(number, number))
            succeed(fleet, "digests", "--cache", "large.efi")
            assert 0 < len(list(kept.iterdir())) <= 4


class TestProcesses:
    def test_several_at_a_time_say_the_same_and_leave_whole_entries(self, kept: Path, fleet: Path, counts: Counts):
        images = [f"{number}.efi" for number in range(6)]
        for number, image in enumerate(images):
            (fleet / image).write_bytes((fleet / "small.efi").read_bytes() + bytes(8 * number))
        command = [sys.executable, "-c", KEEPING, "measure", "--json", "--cache", *images]
        processes = [subprocess.Popen(command, cwd=fleet, stdout=subprocess.PIPE) for _ in range(2)]
        outputs = [process.communicate()[0] for process in processes]

        alone = [sys.executable, "-m", "fuki_build", "measure", "--json", *images]
        assert outputs == [subprocess.run(alone, cwd=fleet, check=True, capture_output=True).stdout] * 2
        assert len(list(kept.iterdir())) == len(images)
        for image in images:
            assert read_by(counts, fleet, "measure", "--cache", image) < MIB
