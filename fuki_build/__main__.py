"""`python -m fuki_build` is `fuki`."""

from fuki_build.cli.main import main

main()
