"""Run one target under atheris, with libFuzzer's arguments: python -m fuzz.engine TARGET [ARGUMENT…]."""

import sys

import atheris

with atheris.instrument_imports(include=["fuki_build", "fuki_attest", "tomllib"]):
    from .helper import load

    target = load(sys.argv[1])

atheris.Setup([sys.argv[0], *sys.argv[2:]], target.run)
atheris.Fuzz()
