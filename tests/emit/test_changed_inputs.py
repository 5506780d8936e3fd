"""Inputs that change between planning and writing."""

import os

import pytest

from fuki_build import FukiError, build, plan


class TestChanges:
    """An input that changes between planning and writing is an error: what was planned is what is written."""

    @pytest.mark.parametrize("name", ["initrd.img", "os-release"])
    def test_a_changed_input_is_an_error(self, workshop, name):
        with plan(workshop) as planned:
            content = (workshop / name).read_bytes()
            (workshop / name).write_bytes(content[:-1] + b"!")
            os.utime(workshop / name, ns=(1, 1))
            with pytest.raises(FukiError, match=f"{name} changed"):
                build(planned)
        assert not list(workshop.glob("*.efi"))

    def test_a_replaced_input_is_an_error(self, workshop):
        with plan(workshop) as planned:
            status = (workshop / "initrd.img").stat()
            (workshop / "new").write_bytes((workshop / "initrd.img").read_bytes())
            os.utime(workshop / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
            (workshop / "new").rename(workshop / "initrd.img")
            with pytest.raises(FukiError, match=r"initrd\.img changed"):
                build(planned)

    def test_an_input_that_went_away_is_an_error(self, workshop):
        with plan(workshop) as planned:
            (workshop / "initrd.img").unlink()
            with pytest.raises(FukiError, match=r"cannot open .*initrd\.img: No such file"):
                build(planned)
        assert not list(workshop.glob("*.efi"))

    @pytest.mark.parametrize("size", [100, 64 * 1024 * 1024])
    def test_an_input_that_changes_while_it_is_read_is_an_error(self, workshop, size):
        os.truncate(workshop / "initrd.img", 32 * 1024 * 1024)
        done = 0

        def change(count: int) -> None:
            nonlocal done
            done += count
            if done > 20 * 1024 * 1024:
                os.truncate(workshop / "initrd.img", size)

        with plan(workshop) as planned, pytest.raises(FukiError, match=r"initrd\.img (changed|became shorter)"):
            build(planned, progress=change)
        assert not list(workshop.glob("*.efi"))

    def test_an_old_output_stays_when_a_build_fails(self, workshop):
        (workshop / "acme_41.3.efi").write_text("old")
        with plan(workshop) as planned:
            (workshop / "initrd.img").unlink()
            with pytest.raises(FukiError):
                build(planned)
        assert (workshop / "acme_41.3.efi").read_text() == "old"
