"""Confidential computing: launch digests of SEV, SEV-ES, SEV-SNP and TDX, ID blocks, and reference values.

Heavy modules are imported where they are used, so that loading the plugin costs little if nothing is launched.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fuki_build.hooks import LaunchModel, OutputFormat, hookimpl

from fuki_coco.outputs import ContrastOutput, CorimOutput, IdBlockOutput, LaunchOutput, LaunchRvpsOutput

if TYPE_CHECKING:
    import click


@hookimpl
def fuki_launch_models() -> Sequence[type[LaunchModel]]:
    from fuki_coco.sev import Sev, SevEs  # noqa: PLC0415
    from fuki_coco.snp import SevSnp  # noqa: PLC0415
    from fuki_coco.tdx import Tdx  # noqa: PLC0415

    return [Sev, SevEs, SevSnp, Tdx]


@hookimpl
def fuki_outputs() -> Sequence[type[OutputFormat]]:
    return [ContrastOutput, CorimOutput, IdBlockOutput, LaunchOutput, LaunchRvpsOutput]


@hookimpl
def fuki_commands() -> "Sequence[click.Command]":
    from fuki_coco.commands import id_block_group, reference_values  # noqa: PLC0415

    return [id_block_group, reference_values]
