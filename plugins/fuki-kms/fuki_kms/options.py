"""A recipe's options for a key in a cloud: its location, never credentials."""

from typing import Annotated

from fuki_build.hooks import CertificateOptions
from msgspec import Meta


class AwsOptions(CertificateOptions, frozen=True, kw_only=True):
    key: Annotated[str, Meta(min_length=1, description="key id, key ARN, alias name (alias/…) or alias ARN")]
    region: Annotated[
        str | None, Meta(description="the key's region; by default that of the key's ARN, or what AWS's tools use")
    ] = None
    profile: Annotated[str | None, Meta(description="a profile of AWS's configuration files")] = None
    endpoint_url: Annotated[
        str | None, Meta(description="another address of the service: https, or http on this machine")
    ] = None


class GcpOptions(CertificateOptions, frozen=True, kw_only=True):
    key: Annotated[
        str,
        Meta(
            min_length=1,
            description="projects/…/locations/…/keyRings/…/cryptoKeys/…/cryptoKeyVersions/…, the name of a key version",
        ),
    ]
    endpoint: Annotated[str, Meta(description="another address of the service: https, or http on this machine")] = (
        "https://cloudkms.googleapis.com"
    )


class AzureOptions(CertificateOptions, frozen=True, kw_only=True):
    key: Annotated[
        str,
        Meta(
            min_length=1,
            description="https://VAULT.vault.azure.net/keys/NAME/VERSION, the key's identifier; without a version, "
            "the one that is current when fuki starts",
        ),
    ]
