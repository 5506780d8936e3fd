"""A build reads each byte once, and hashes what somebody asks for."""

import errno
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuki_build import FukiError, build, plan
from fuki_build.emit.plan import Result
from fuki_build.formats import hashes
from fuki_build.hooks import ALL_DIGESTS, DESCRIBED_DIGESTS, NO_DIGESTS, DigestNeeds
from fuki_build.image import digest, reading
from fuki_build.image.blob import FilePart
from fuki_build.testing import install_plugin, invoke, refused, secure_boot, succeed
from tests.conftest import RECIPE
from tests.support.rich import authenticode, sections, sha256

SIZE = 3_000_000
"""Of the initrd, in bytes: much more than everything else that is hashed by the byte."""


class Counting:
    """A hash that counts the bytes it was fed."""

    def __init__(self, state, algorithm, counts) -> None:
        self._state, self._algorithm, self._counts = state, algorithm, counts

    def update(self, data):
        self._counts[self._algorithm] += len(data)
        self._state.update(data)

    def copy(self):
        return Counting(self._state.copy(), self._algorithm, self._counts)

    def digest(self):
        return self._state.digest()

    def hexdigest(self):
        return self._state.hexdigest()


@pytest.fixture
def hashed(monkeypatch):
    """Bytes that passes over images hashed, by algorithm."""
    counts: Counter[str] = Counter()
    monkeypatch.setattr(digest, "new_hash", lambda name: Counting(hashes.new_hash(name), name, counts))
    return counts


@pytest.fixture
def read(monkeypatch):
    """Bytes that passes read, by file name."""
    counts: Counter[str] = Counter()
    read_file = reading._read_file

    def counting(part: FilePart) -> Iterator[memoryview]:
        for piece in read_file(part):
            counts[part.path.name] += len(piece)
            yield piece

    monkeypatch.setattr(reading, "_read_file", counting)
    return counts


@pytest.fixture
def large(workshop):
    (workshop / "initrd.img").write_bytes(b"initrd" * (SIZE // 6))
    return workshop


@pytest.fixture
def db(large):
    """The options of a key in the directory of the recipe, for a recipe and for a command line."""
    identity = secure_boot.make_identity("Acme db")
    secure_boot.write_key(large / "db.key", identity.key)
    secure_boot.write_certificates(large / "db.crt", identity.certificate)
    return 'backend = "local"\nkey = "db.key"\ncertificate = "db.crt"\n'


def write_recipe(directory, text="", recipe=RECIPE):
    (directory / "fuki.toml").write_text(recipe + text)


def build_here(directory: Path, *, output: Path | None = None, digests: DigestNeeds = ALL_DIGESTS) -> Result:
    with plan(directory) as planned:
        return build(planned, output=output, digests=digests)


def image_size(directory):
    return next(directory.glob("*.efi")).stat().st_size


@pytest.mark.usefixtures("db")
class TestHashing:
    def test_an_image_alone_is_not_hashed(self, large, hashed):
        write_recipe(large)
        build_here(large, digests=NO_DIGESTS)
        assert hashed == {}

    def test_an_image_that_is_signed_is_hashed_once(self, large, hashed, db):
        write_recipe(large, f"[fuki.sign]\n{db}")
        build_here(large, digests=NO_DIGESTS)
        assert SIZE < hashed["sha256"] <= image_size(large)
        assert set(hashed) == {"sha256"}

    def test_what_is_told_of_is_hashed_for_that(self, large, hashed):
        write_recipe(large)
        build_here(large, digests=DESCRIBED_DIGESTS)
        assert 2 * SIZE < hashed["sha256"] <= 2 * image_size(large)

    def test_a_section_and_its_only_input_are_one_hash(self, large, hashed):
        write_recipe(large)
        build_here(large)
        assert 2 * SIZE < hashed["sha256"] <= 2 * image_size(large)

    def test_a_section_and_its_first_input_are_hashed_together(self, large, hashed):
        (large / "second").write_bytes(b"x" * 1000)
        write_recipe(large, recipe=RECIPE.replace('initrd = ["initrd.img"]', 'initrd = ["initrd.img", "second"]'))
        result = build_here(large)
        assert 2 * SIZE < hashed["sha256"] <= 2 * image_size(large) + 1000
        digests = {file.name: file.sha256 for file in result.build.inputs}
        assert digests["initrd.img"] == sha256((large / "initrd.img").read_bytes())
        assert digests["second"] == sha256((large / "second").read_bytes())

    def test_predictions_hash_in_their_banks_alone(self, large, hashed):
        write_recipe(large, '[[fuki.output]]\nformat = "predictions"\nbanks = ["sha384"]\n')
        build_here(large, digests=NO_DIGESTS)
        assert set(hashed) == {"sha384"}

    def test_signing_a_finished_image_hashes_what_is_signed(self, large, hashed):
        write_recipe(large)
        build_here(large, output=large / "out.efi", digests=NO_DIGESTS)
        options = ("--key", large / "db.key", "--certificate", large / "db.crt", "-o", large / "signed.efi")
        succeed(large, "sign", "out.efi", *options)
        assert SIZE < hashed["sha256"] <= image_size(large)

    def test_asking_for_what_is_to_be_signed_hashes_that(self, large, hashed):
        write_recipe(large)
        build_here(large, output=large / "out.efi", digests=NO_DIGESTS)
        succeed(large, "digests", "out.efi")
        assert SIZE < hashed["sha256"] <= image_size(large)

    def test_what_nobody_asked_for_is_no_digest(self, large):
        write_recipe(large)
        result = build_here(large, digests=NO_DIGESTS)
        with pytest.raises(LookupError):
            _ = result.build.uki.assembly.sections
        with pytest.raises(LookupError):
            _ = result.build.inputs[0].sha256


class TestReading:
    OUTPUTS = "".join(f'[[fuki.output]]\nformat = "uki"\npath = "{name}.efi"\n' for name in "abc")

    def test_several_files_get_one_image_from_one_read(self, large, read):
        write_recipe(large, self.OUTPUTS)
        build_here(large)
        assert read["initrd.img"] == SIZE
        written = {(large / f"{name}.efi").read_bytes() for name in "abc"}
        assert len(written) == 1

    def test_each_of_them_has_its_own_signatures(self, large, read, hashed, db):
        first, second, third = self.OUTPUTS.split("[[fuki.output]]\n")[1:]
        outputs = f"[[fuki.output]]\n{first}sign = false\n[[fuki.output]]\n{second}[[fuki.output]]\n{third}"
        write_recipe(large, outputs + f"[fuki.sign]\n{db}")
        build_here(large, digests=NO_DIGESTS)
        assert read["initrd.img"] == SIZE
        assert hashed["sha256"] <= (large / "a.efi").stat().st_size
        for name in "bc":
            assert "valid" in invoke(large, "verify", f"{name}.efi", "--certificate", "db.crt").out
        assert invoke(large, "verify", "a.efi", "--certificate", "db.crt").code == 3


def no_copy(*_: object) -> int:
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


class TestCopying:
    @pytest.fixture
    def expected(self, large):
        """The image as it is written from what was read for its digests."""
        write_recipe(large)
        build_here(large, output=large / "expected.efi")
        return (large / "expected.efi").read_bytes()

    @pytest.fixture
    def named(self, monkeypatch):
        """A file system without nameless files."""
        real = os.open

        def without(path: str, flags: int, *arguments: int, **keywords: int) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            return real(path, flags, *arguments, **keywords)

        monkeypatch.setattr(os, "open", without)

    def test_what_nobody_hashes_goes_through_one_buffer(self, large, expected, read):
        build_here(large, output=large / "out.efi", digests=NO_DIGESTS)
        assert (large / "out.efi").read_bytes() == expected
        assert read["initrd.img"] == 0

    @pytest.mark.usefixtures("named")
    @pytest.mark.parametrize("copy", [no_copy, lambda *_: 0])
    def test_what_the_kernel_does_not_copy_is_read_and_written(self, large, expected, monkeypatch, copy):
        monkeypatch.setattr(os, "copy_file_range", copy)
        build_here(large, output=large / "out.efi", digests=NO_DIGESTS)
        assert (large / "out.efi").read_bytes() == expected

    @pytest.mark.usefixtures("named")
    def test_without_nameless_files_the_kernel_copies(self, large, expected, monkeypatch, read):
        copy, copied = os.copy_file_range, []

        def record(source: int, target: int, count: int, at: int) -> int:
            # It may copy less than it is asked to.
            copied.append(copy(source, target, min(count, 777_777), at))
            return copied[-1]

        monkeypatch.setattr(os, "copy_file_range", record)
        build_here(large, output=large / "out.efi", digests=NO_DIGESTS)
        assert (large / "out.efi").read_bytes() == expected
        assert sum(copied) >= SIZE
        assert read["initrd.img"] == 0

    @pytest.mark.parametrize("largest", [1, 777])
    def test_short_reads_and_writes_go_on(self, large, monkeypatch, largest):
        read_into, write = os.preadv, os.write
        (large / "initrd.img").write_bytes(b"initrd" * 100)
        write_recipe(large)
        build_here(large, output=large / "expected.efi")
        monkeypatch.setattr(os, "preadv", lambda s, b, at: read_into(s, [b[0][: 100 * largest]], at))
        monkeypatch.setattr(os, "write", lambda target, data: write(target, data[: 90 * largest]))
        build_here(large, output=large / "out.efi", digests=NO_DIGESTS)
        assert (large / "out.efi").read_bytes() == (large / "expected.efi").read_bytes()

    def test_an_input_that_cannot_be_read_is_told(self, large, monkeypatch):
        def broken(*_: object) -> int:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        write_recipe(large)
        with plan(large) as planned:
            monkeypatch.setattr(os, "preadv", broken)
            monkeypatch.setattr(os, "pread", broken)
            with pytest.raises(FukiError, match=r"cannot read .*: Input/output error"):
                build(planned, output=large / "out.efi", digests=NO_DIGESTS)
        assert not (large / "out.efi").exists()

    def test_an_input_that_grows_while_it_is_copied_is_refused(self, large, monkeypatch):
        read_into, initrd = os.preadv, large / "initrd.img"

        def grow(source: int, buffers: list[memoryview], at: int) -> int:
            with initrd.open("ab") as file:
                file.write(b"more")
            return read_into(source, buffers, at)

        write_recipe(large)
        monkeypatch.setattr(os, "preadv", grow)
        with pytest.raises(FukiError, match="changed while"):
            build_here(large, output=large / "out.efi", digests=NO_DIGESTS)
        assert not (large / "out.efi").exists()

    def test_room_for_the_whole_image_is_set_aside_once(self, large, monkeypatch):
        allocate, reserved = os.posix_fallocate, []

        def record(descriptor: int, offset: int, size: int) -> None:
            reserved.append((offset, size))
            allocate(descriptor, offset, size)

        write_recipe(large)
        monkeypatch.setattr(os, "posix_fallocate", record)
        build_here(large, output=large / "out.efi", digests=NO_DIGESTS)
        assert reserved == [(0, (large / "out.efi").stat().st_size)]

    def test_a_disk_without_that_room_says_so_before_anything_is_read(self, large, monkeypatch, read):
        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        write_recipe(large)
        monkeypatch.setattr(os, "posix_fallocate", full)
        with pytest.raises(FukiError, match=r"cannot write .*out\.efi: No space left"):
            build_here(large, output=large / "out.efi")
        assert read["initrd.img"] == 0
        assert not (large / "out.efi").exists()

    def test_a_file_system_that_sets_no_room_aside_is_written_to_all_the_same(self, large, expected, monkeypatch):
        def never(*_: object) -> None:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

        monkeypatch.setattr(os, "posix_fallocate", never)
        build_here(large, output=large / "out.efi", digests=NO_DIGESTS)
        assert (large / "out.efi").read_bytes() == expected

    def test_a_disk_that_is_full_is_told(self, large, monkeypatch):
        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        write_recipe(large)
        monkeypatch.setattr(os, "posix_fallocate", lambda *_: None)
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(FukiError, match=r"cannot write .*out\.efi"):
            build_here(large, output=large / "out.efi", digests=NO_DIGESTS)


TELLS = """
from fuki_build.hooks import NO_DIGESTS, OutputFormat, hookimpl


class Tells(OutputFormat):
    name = "tells"
    suffix = ".tells"
    {declared}

    def emit(self, options, build, context):
        words = [*build.uki.assembly.sections, *(file.sha256 for file in build.inputs)]
        context.write(context.path, chr(10).join(words).encode())


@hookimpl
def fuki_outputs():
    return [Tells]
"""


class TestPlugins:
    @pytest.fixture
    def telling(self, workshop, tmp_path, monkeypatch):
        def install(declared: str) -> Path:
            # Python keeps a module that it has imported: each test has one of its own.
            distribution = f"fuki-tells-{len(declared)}"
            install_plugin(tmp_path / "site", "tells", TELLS.format(declared=declared), distribution=distribution)
            monkeypatch.syspath_prepend(tmp_path / "site")
            recipe = RECIPE.replace("[fuki]\n", '[fuki]\nplugins = ["tells"]\n', 1)
            write_recipe(workshop, '[[fuki.output]]\nformat = "tells"\n[[fuki.output]]\nformat = "uki"\n', recipe)
            return workshop

        return install

    def test_a_format_that_declares_nothing_has_everything(self, telling):
        directory = telling("")
        succeed(directory, "build", "-o", "out.efi")
        words = next(directory.glob("*.tells")).read_text().splitlines()
        assert words[: len(sections(directory / "out.efi"))]
        assert sha256((directory / "initrd.img").read_bytes()) in words

    def test_a_format_that_reads_what_it_did_not_declare_is_blamed(self, telling):
        directory = telling("def digests(self, options): return NO_DIGESTS")
        message = refused(directory, "build", code=5)
        assert "tells" in message
        assert "nobody asked for" in message


def test_a_document_about_the_build_has_all_digests(workshop):
    write_recipe(workshop)
    (image,) = json.loads(invoke(workshop, "build", "--json").out)["build"]["images"]
    assert image["authenticode"] == authenticode(next(workshop.glob("*.efi")))
    assert all(section["sha256"] for section in image["sections"])
