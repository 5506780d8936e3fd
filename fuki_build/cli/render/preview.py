"""What a build would write, and who would sign it, on standard output."""

from collections.abc import Sequence

from fuki_build.cli.documents import PlannedOutputView, PlannedSignerView, output_views, signer_views
from fuki_build.cli.render.sizes import human_size
from fuki_build.cli.render.table import StandardOutput, TextTable
from fuki_build.emit.preview import Preview


def show_preview(preview: Preview) -> None:
    """The files, then the signers, if there are any."""
    console = StandardOutput()
    console.table(_outputs(output_views(preview)))
    signers = signer_views(preview)
    if signers:
        console.print()
        console.table(_signers(signers))
    console.print()


def _outputs(outputs: Sequence[PlannedOutputView]) -> TextTable:
    signed = any(output.signed_by for output in outputs)
    table = TextTable("Output", "Size", "Now", "File", *["Signed by"] * signed, right=("Size",))
    for output in outputs:
        for file in output.files:
            row = (
                output.format,
                "?" if file.size is None else human_size(file.size),
                "replaces" if file.replaces else "new",
                f"{file.path}/…" if file.many else file.path,
            )
            table.add_row(*row, *[", ".join(output.signed_by) or "-"] * signed)

    return table


def _signers(signers: Sequence[PlannedSignerView]) -> TextTable:
    table = TextTable("Signer", "Backend", "Signs", "Certificate", "Expires")
    for signer in signers:
        certificate = signer.subject or "known to the key's store only"
        table.add_row(signer.where, signer.backend, ", ".join(signer.signs), certificate, (signer.expires or "")[:10])
    return table
