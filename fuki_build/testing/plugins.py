"""Plugin distributions made on the spot: a module and its metadata in a directory for PYTHONPATH; no pip needed."""

from pathlib import Path
from textwrap import dedent


def install_plugin(
    site: Path,
    name: str,
    source: str,
    *,
    distribution: str | None = None,
    version: str = "1.2.3",
    value: str | None = None,
) -> str:
    """Lay out a distribution whose entry point `name` in the group `fuki` is a module with `source`.

    Returns the PYTHONPATH that finds it.
    """
    distribution = distribution or f"fuki-{name}"
    module = distribution.replace("-", "_")
    site.mkdir(parents=True, exist_ok=True)
    (site / f"{module}.py").write_text(dedent(source))
    metadata = site / f"{module}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (metadata / "entry_points.txt").write_text(f"[fuki]\n{name} = {value or module}\n")
    return str(site)
