"""Which of fuki's own plugins gives what, for hints: a plugin that is not installed cannot be asked.

A test holds this against the plugins. Of plugins that others make nothing is known here, and nothing is guessed: a name
that nobody has registered may be anybody's.
"""

from collections.abc import Mapping

GIVEN: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "fuki_platforms": {
        "aws": ("aws",),
        "azure": ("azure", "hyperv"),
        "clouds": ("alibaba", "digitalocean", "hetzner", "ibm", "oci"),
        "gcp": ("gcp",),
        "virt": ("nutanix", "openstack", "virtualbox", "vmware"),
    },
    "fuki_signers": {
        "kms": ("aws-kms", "azure-key-vault", "gcp-kms"),
        "pkcs11": ("pkcs11",),
        "sbsign": ("osslsigncode", "pesign", "sbsign", "systemd-sbsign"),
    },
    "fuki_enrollers": {"virt-firmware": ("virt-firmware",)},
    "fuki_hand_overs": {"hand-over": ("vm-launch-update",)},
    "fuki_outputs": {
        "coco": ("contrast", "corim", "id-block", "launch", "launch-rvps"),
        "packages": ("deb", "rpm"),
    },
    "fuki_launch_models": {"coco": ("sev", "sev-es", "sev-snp", "tdx")},
    "fuki_checks": {"hand-over": ("vm-launch-update-payload",)},
    "fuki_commands": {"attest": ("attest",), "coco": ("id-block", "reference-values"), "qemu": ("boot",)},
}
"""By hook and plugin, the names of what it gives."""

PLUGINS = tuple(sorted({plugin for by_plugin in GIVEN.values() for plugin in by_plugin}))
"""The names of fuki's own plugins, as recipes write them; the distribution of each is `fuki-NAME`."""


def plugin_of(hook: str, name: str) -> str | None:
    """The plugin of fuki's that gives a thing of this name, if one does."""
    return next((plugin for plugin, names in GIVEN.get(hook, {}).items() if name in names), None)


def names_of(hook: str) -> list[str]:
    """All that fuki's own plugins give through a hook."""
    return sorted(name for names in GIVEN.get(hook, {}).values() for name in names)


def hooks_of(name: str) -> list[str]:
    """The hooks through which one of fuki's plugins gives something of this name."""
    return [hook for hook in GIVEN if plugin_of(hook, name)]


def how_to_install(plugin: str) -> str:
    """What to do for a plugin of fuki's that is not installed: the plugins stand beside the package, in its sources."""
    return f"in fuki's sources: pip install ./plugins/fuki-{plugin}"
