"""Programs that sign finished images: the backends `sbsign`, `systemd-sbsign`, `osslsigncode` and `pesign`."""

from collections.abc import Sequence

from fuki_build.hooks import FileSigner, KeySigner, hookimpl

from fuki_sbsign.osslsigncode import Osslsigncode
from fuki_sbsign.pesign import Pesign
from fuki_sbsign.sbsign import Sbsign
from fuki_sbsign.systemd_sbsign import SystemdSbsign

__all__ = ["Osslsigncode", "Pesign", "Sbsign", "SystemdSbsign", "fuki_signers"]


@hookimpl
def fuki_signers() -> Sequence[type[KeySigner] | type[FileSigner]]:
    return [Osslsigncode, Pesign, Sbsign, SystemdSbsign]
