"""A bill of materials of the packages, in CycloneDX: what an environment with them has, and what asks for what.

python tools/sbom.py OUTPUT PACKAGE…    of a fresh environment with these packages (wheels, directories)

The same packages give the same bytes: there is no time and no serial number in it. Its schema is checked.
"""

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

CHECKOUT = Path(__file__).parent.parent


def write_sbom(output: Path, python: Path) -> None:
    """Tell of the environment that an interpreter belongs to. Raises `ValueError` for what is no CycloneDX."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", str(python)]
    command += ["--pyproject", str(CHECKOUT / "pyproject.toml"), "--mc-type", "application"]
    command += ["--output-reproducible", "--spec-version", "1.6", "--output-format", "JSON"]
    told = subprocess.run(command, check=True, capture_output=True).stdout

    # The version is not in pyproject.toml, so that the tool does not know it.
    ask = "from importlib.metadata import version; print(version('fuki-build'))"
    version = subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True).stdout
    document = json.loads(told)
    document["metadata"]["component"]["version"] = version.strip()

    text = json.dumps(document, indent=2) + "\n"
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(str(error))
    output.write_text(text)


def main() -> None:
    output, *packages = sys.argv[1:]
    with tempfile.TemporaryDirectory() as directory:
        venv.create(directory, with_pip=False)
        python = Path(directory) / "bin/python"
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
        subprocess.run([*pip, *packages], check=True)
        write_sbom(Path(output), python)


if __name__ == "__main__":
    main()
