"""Cells of a matrix are built together: what they share is read and digested once, and each is all or nothing."""

import errno
import hashlib
import json
import os
from collections import Counter

import pytest

from fuki_build import FukiError
from fuki_build.builtin.signers import LocalOptions, LocalSigner
from fuki_build.formats import hashes
from fuki_build.hooks.signers import SigningContext, SigningKey
from fuki_build.image import digest
from fuki_build.image.output_file import OutputFile
from fuki_build.testing import invoke, refused, secure_boot, succeed, tree
from tests.conftest import RECIPE
from tests.emit.test_digests_asked_for import Counting
from tests.support.rich import sections

SIZE = 3_000_000
"""Of the initrd, in bytes: much more than everything else together that is not the kernel."""
MATRIX = RECIPE.replace("root ro", "root ro n={{ matrix.n }}") + "[fuki.matrix]\nn = [1, 2, 3, 4, 5]\n"
MANIFEST = '[[fuki.output]]\nformat = "uki"\n[[fuki.output]]\nformat = "manifest"\n'
IMAGES = [f"acme_41.3_{n}.efi" for n in range(1, 6)]


@pytest.fixture
def large(workshop):
    (workshop / "initrd.img").write_bytes(b"initrd" * (SIZE // 6))
    return workshop


def write_recipe(directory, text=""):
    (directory / "fuki.toml").write_text(MATRIX + text)


@pytest.fixture
def read(monkeypatch):
    """Bytes that Python read of each file, by inode."""
    counts: Counter[int] = Counter()
    real = os.pread

    def pread(descriptor: int, length: int, offset: int) -> bytes:
        data = real(descriptor, length, offset)
        counts[os.fstat(descriptor).st_ino] += len(data)
        return data

    monkeypatch.setattr(os, "pread", pread)
    return counts


@pytest.fixture
def hashed(monkeypatch):
    counts: Counter[str] = Counter()
    monkeypatch.setattr(digest, "new_hash", lambda name: Counting(hashes.new_hash(name), name, counts))
    return counts


class TestSharing:
    def test_a_shared_input_is_read_once_for_all_images_and_their_manifests(self, large, read):
        write_recipe(large, MANIFEST)
        succeed(large, "build")
        # Planning looks at the first and last bytes of each input.
        assert SIZE <= read[(large / "initrd.img").stat().st_ino] < SIZE * 1.01

    def test_a_large_input_that_nobody_hashes_goes_through_a_small_buffer(self, large, read, monkeypatch):
        sizes, read_into = [], os.preadv

        def preadv(source: int, buffers: list[memoryview], offset: int) -> int:
            sizes.append(len(buffers[0]))
            return read_into(source, buffers, offset)

        monkeypatch.setattr(os, "preadv", preadv)
        write_recipe(large)
        succeed(large, "build", "-j", "1")
        assert read[(large / "initrd.img").stat().st_ino] < SIZE / 100
        assert 0 < max(sizes) <= 256 * 1024

    def test_its_digest_is_computed_once(self, large, hashed):
        write_recipe(large, MANIFEST)
        succeed(large, "build")
        images = sum((large / name).stat().st_size for name in IMAGES)
        shared = SIZE + (large / "vmlinuz").stat().st_size
        # Each image has an Authenticode digest of its own; sections and inputs are the same bytes in all.
        assert images < hashed["sha256"] < images + shared * 1.2

    @pytest.mark.parametrize("jobs", [1, 3])
    @pytest.mark.parametrize("text", ["", MANIFEST])
    def test_each_image_and_manifest_is_that_of_the_recipe_alone(self, large, text, jobs):
        write_recipe(large, text)
        succeed(large, "build", "-j", jobs)
        for n in range(1, 6):
            recipe = RECIPE.replace("root ro", f"root ro n={n}") + text
            (large / "fuki.toml").write_text(recipe)
            succeed(large, "build")
            assert (large / f"acme_41.3_{n}.efi").read_bytes() == (large / "acme_41.3.efi").read_bytes()
            if text:
                together, alone = (
                    json.loads((large / name).read_text())
                    for name in (f"acme_41.3_{n}.manifest.json", "acme_41.3.manifest.json")
                )
                assert together == alone

    def test_images_with_their_inputs_in_other_orders(self, large):
        (large / "more.img").write_bytes(b"more" * 500_000)
        matrix = '[fuki.matrix.first.initrd]\nsecond = "more"\n[fuki.matrix.first.more]\nsecond = "initrd"\n'
        initrd = 'initrd = ["{{ matrix.first }}.img", "{{ matrix.second }}.img"]'
        (large / "fuki.toml").write_text(RECIPE.replace('initrd = ["initrd.img"]', initrd) + matrix + MANIFEST)
        succeed(large, "build")
        contents = {name: (large / f"{name}.img").read_bytes() for name in ("initrd", "more")}
        for first, second in (("initrd", "more"), ("more", "initrd")):
            found = {name: data for name, *_, data in sections(large / f"acme_41.3_{first}.efi")}
            joined = contents[first] + bytes(-len(contents[first]) % 4) + contents[second]
            assert found[".initrd"][: len(joined)] == joined
            manifest = json.loads((large / f"acme_41.3_{first}.manifest.json").read_text())
            (section,) = [s for s in manifest["images"][0]["sections"] if s["name"] == ".initrd"]
            assert section["sha256"] == hashlib.sha256(found[".initrd"]).hexdigest()

    @pytest.mark.workshop(real={"ovmf.fd": "ovmf-generic"})
    def test_firmware_that_a_program_makes_is_made_once(self, large):
        firmware = (
            '[[fuki.firmware]]\nsource = "command"\nid = "fw"\nchids = ["01e09b32-de05-56ca-b9d1-9486ad5f381d"]\n'
            'command = ["sh", "-c", "echo made >>made.txt; cat ovmf.fd"]\n'
        )
        write_recipe(large, firmware)
        succeed(large, "build")
        assert (large / "made.txt").read_text() == "made\n"


class TestKeys:
    @pytest.fixture
    def signed(self, large):
        identity = secure_boot.make_identity("Acme db")
        secure_boot.write_key(large / "db.key", identity.key)
        secure_boot.write_certificates(large / "db.crt", identity.certificate)
        key = 'backend = "local"\nkey = "db.key"\ncertificate = "db.crt"\n'
        write_recipe(large, f"[fuki.sign]\n{key}[[fuki.pcr-policy]]\n{key}")
        return large

    def test_a_key_is_opened_once_for_all_cells(self, signed, monkeypatch):
        opened, real = [], LocalSigner.open

        def count(self: LocalSigner, options: LocalOptions, context: SigningContext) -> SigningKey:
            opened.append(options)
            return real(self, options, context)

        monkeypatch.setattr(LocalSigner, "open", count)
        succeed(signed, "build")
        # One for images, one for policies, whose options are the same: one key.
        assert len(opened) == 1

    def test_every_image_is_signed_and_is_that_of_a_build_alone(self, signed):
        succeed(signed, "build")
        together = [(signed / name).read_bytes() for name in IMAGES]
        for n, name in enumerate(IMAGES, 1):
            succeed(signed, "verify", name, "--certificate", "db.crt")
            succeed(signed, "build", "--cell", f"n={n}")
        assert [(signed / name).read_bytes() for name in IMAGES] == together


class TestFailures:
    def test_the_cells_that_can_be_are_built_and_the_others_told(self, large):
        recipe = MATRIX.replace('"initrd.img"', '"initrd{{ matrix.file }}.img"')
        recipe += '[[fuki.matrix.include]]\nfile = ""\n[[fuki.matrix.include]]\nn = 3\nfile = "-missing"\n'
        (large / "fuki.toml").write_text(recipe)
        outcome = invoke(large, "build")
        assert outcome.code == 2
        assert "cell n=3: fuki.image.initrd[0]: cannot open initrd-missing.img" in outcome.err
        assert "4 of 5 cells were built" in outcome.err
        assert sorted(path.name for path in large.glob("*.efi")) == [*IMAGES[:2], *IMAGES[3:]]

    @pytest.mark.parametrize("failing", [1, 3])
    @pytest.mark.parametrize("jobs", [1, 2])
    def test_an_output_that_cannot_be_written_ends_its_cell_alone(self, large, monkeypatch, failing, jobs):
        """The first cell computes the digests that all share: the others do without it."""
        write_recipe(large, MANIFEST)
        succeed(large, "build")
        expected = {name: (large / name).read_bytes() for name in tree(large) if "41.3_" in str(name)}
        for name in expected:
            (large / name).unlink()
        real = OutputFile.write

        def write(self: OutputFile, data: bytes | memoryview) -> None:
            if self.path.name == f"acme_41.3_{failing}.efi" and os.lseek(self.descriptor, 0, os.SEEK_CUR) > SIZE:
                raise FukiError(f"cannot write {self.path}: {os.strerror(errno.ENOSPC)}")
            real(self, data)

        monkeypatch.setattr(OutputFile, "write", write)
        outcome = invoke(large, "build", "-j", jobs)
        assert outcome.code == 1
        assert f"cell n={failing}: cannot write" in outcome.err
        written = {name: (large / name).read_bytes() for name in tree(large) if "41.3_" in str(name)}
        assert written == {name: data for name, data in expected.items() if f"41.3_{failing}." not in str(name)}

    def test_an_input_that_changes_fails_every_cell_that_has_it(self, large, monkeypatch):
        write_recipe(large, MANIFEST)
        real = os.pread
        changed: list[object] = []

        def pread(descriptor: int, length: int, offset: int) -> bytes:
            path = large / "initrd.img"
            if offset > SIZE // 2 and os.fstat(descriptor).st_ino == path.stat().st_ino and length > 2 and not changed:
                changed.append(path)
                os.utime(path, ns=(0, 0))
            return real(descriptor, length, offset)

        monkeypatch.setattr(os, "pread", pread)
        outcome = invoke(large, "build")
        assert changed
        assert outcome.code == 1
        assert outcome.err.count("changed while it was being used") == 5
        assert {f"cell n={n}: " in outcome.err for n in range(1, 6)} == {True}
        assert not list(large.glob("*.efi"))

    @pytest.mark.parametrize("verb", ["plan", "check", "build"])
    @pytest.mark.parametrize("more", ["", '[[fuki.output]]\nformat = "manifest"\n'])
    def test_two_cells_that_write_one_path_are_refused_before_anything_is_written(self, large, verb, more):
        write_recipe(large, '[[fuki.output]]\nformat = "uki"\npath = "out/image.efi"\n' + more)
        error = refused(large, verb)
        assert not (large / "out").exists()
        assert "cell n=2: fuki.output[0]: the cell n=1 writes" in error
        assert "{{ matrix.n }}" in error

    @pytest.mark.parametrize("verb", ["plan", "check", "build"])
    def test_a_directory_of_an_output_is_one_cell_s_alone(self, large, verb):
        url = 'url = "https://acme.example/"\n'
        write_recipe(large, f'[[fuki.output]]\nformat = "sysupdate"\npath = "feed"\n{url}')
        assert "the cell n=1 writes" in refused(large, verb)
        write_recipe(large, f'[[fuki.output]]\nformat = "sysupdate"\npath = "feed/{{{{ matrix.n }}}}"\n{url}')
        succeed(large, verb)

    def test_a_cell_that_would_replace_what_another_reads_is_refused(self, large):
        recipe = MATRIX + '[[fuki.output]]\nformat = "uki"\npath = "{{ matrix.path }}"\n[[fuki.matrix.include]]\n'
        recipe += 'path = "out/{{ no }}"\n[[fuki.matrix.include]]\nn = 2\npath = "initrd.img"\n'
        (large / "fuki.toml").write_text(recipe.replace("out/{{ no }}", "out.efi").replace("[1, 2, 3, 4, 5]", "[1, 2]"))
        before = (large / "initrd.img").read_bytes()
        outcome = invoke(large, "build")
        assert outcome.code == 2
        assert "cell n=2: " in outcome.err
        assert "would replace the input" in outcome.err
        assert (large / "initrd.img").read_bytes() == before
        assert (large / "out.efi").is_file()

    def test_an_interrupt_leaves_no_file_behind(self, large, monkeypatch):
        write_recipe(large, MANIFEST)
        before, real = tree(large), OutputFile.write

        def write(self: OutputFile, data: bytes | memoryview) -> None:
            if self.path.name == IMAGES[3] and os.lseek(self.descriptor, 0, os.SEEK_CUR) > SIZE:
                raise KeyboardInterrupt
            real(self, data)

        monkeypatch.setattr(OutputFile, "write", write)
        outcome = invoke(large, "build", "-j", "2")
        assert outcome.code == 130
        assert outcome.err.endswith("fuki: interrupted\n")
        assert tree(large) == before
