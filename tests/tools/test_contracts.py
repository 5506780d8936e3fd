"""The contracts about imports name every plugin."""

import tomllib

import parts


def test_every_plugin_is_held_to_the_public_interface():
    packages = {path.name for path in parts.CHECKOUT.glob("plugins/*/fuki_*")}

    config = tomllib.loads((parts.CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = (contract for contract in config["contracts"] if contract["type"] == "forbidden")

    assert packages == set(contract["source_modules"])
    assert packages < set(config["root_packages"])
