"""File systems with nameless files, and without."""

import errno
import os

import pytest


@pytest.fixture(params=["nameless", "named"])
def kind(request, monkeypatch):
    """With O_TMPFILE, and on a file system that cannot do that."""
    if request.param == "named":
        real = os.open

        def without_tmpfile(path, flags, *arguments, **keywords) -> int:  # noqa: ANN002, ANN003
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "Operation not supported")
            return real(path, flags, *arguments, **keywords)

        monkeypatch.setattr(os, "open", without_tmpfile)
    return request.param
