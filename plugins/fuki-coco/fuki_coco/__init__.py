"""Confidential computing: launch digests of SEV, SEV-ES, SEV-SNP and TDX, ID blocks, and reference values."""

from collections.abc import Sequence

from fuki_build.hooks import LaunchModel, hookimpl


@hookimpl
def fuki_launch_models() -> Sequence[LaunchModel]:
    # Here, so that loading the plugin costs little where nothing is launched.
    from fuki_coco.sev import Sev, SevEs  # noqa: PLC0415
    from fuki_coco.snp import SevSnp  # noqa: PLC0415
    from fuki_coco.tdx import Tdx  # noqa: PLC0415

    return [Sev(), SevEs(), SevSnp(), Tdx()]
