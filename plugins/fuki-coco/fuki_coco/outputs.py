"""Output formats: the launches that a recipe's `[[fuki.launch]]` tables ask for."""

from collections.abc import Sequence
from typing import Annotated, Any

from fuki_build.hooks import (
    Build,
    LaunchFormat,
    LaunchOptions,
    OutputContext,
    PlannedFile,
    PreviewContext,
    encode_json,
    to_document,
)
from msgspec import Meta


class LaunchOutput(LaunchFormat):
    """JSON: every predicted digest with all that it depends on, and what could not be predicted.

    >>> LaunchOutput.suffix
    '.launch.json'
    """

    name = "launch"
    suffix = ".launch.json"

    def emit(self, options: LaunchOptions, build: Build, context: OutputContext) -> None:
        context.write(context.path, encode_json(to_document(self.launches(options, build))))


class LaunchRvpsOutput(LaunchFormat):
    """A message for the Reference Value Provider Service of Confidential Containers' Trustee.

    >>> LaunchRvpsOutput.suffix
    '.launch.rvps.json'
    """

    name = "launch-rvps"
    suffix = ".launch.rvps.json"

    def emit(self, options: LaunchOptions, build: Build, context: OutputContext) -> None:
        from fuki_coco import reference  # noqa: PLC0415 - only where it is written

        context.write(context.path, reference.trustee_message(self.launches(options, build)))


class ContrastOutput(LaunchFormat):
    """The reference values of a Contrast manifest; the RTMRs that cannot be told are left empty.

    >>> ContrastOutput.suffix
    '.contrast.json'
    """

    name = "contrast"
    suffix = ".contrast.json"

    def emit(self, options: LaunchOptions, build: Build, context: OutputContext) -> None:
        from fuki_coco import reference  # noqa: PLC0415 - as above

        context.write(context.path, reference.contrast_manifest(self.launches(options, build)))


class CorimOptions(LaunchOptions, frozen=True, kw_only=True):
    key: Annotated[
        dict[str, Any] | None,
        Meta(description='what signs it, { backend = "…", … }; by default it is not signed'),
    ] = None
    signer: Annotated[str | None, Meta(description="name of the signer in it; by default the recipe's name")] = None


class CorimOutput(LaunchFormat):
    """A CoRIM: reference values in CBOR, signed as COSE_Sign1 where there is a key.

    >>> CorimOutput.Options(key={"backend": "local", "key": "corim.key"}).signer is None
    True
    """

    name = "corim"
    suffix = ".corim"
    Options = CorimOptions

    def preview(self, options: CorimOptions, context: PreviewContext) -> Sequence[PlannedFile]:
        if options.key is not None:
            context.key(options.key, "key")
        return super().preview(options, context)

    def emit(self, options: CorimOptions, build: Build, context: OutputContext) -> None:
        from fuki_coco import corim  # noqa: PLC0415 - CBOR and COSE only where they are written

        data = corim.encode(build.name, build.version, self.launches(options, build))
        if options.key is not None:
            data = corim.sign(data, context.key(options.key, "key"), options.signer or build.name)
        context.write(context.path, data)


class IdBlockOptions(LaunchOptions, frozen=True, kw_only=True):
    id_key: Annotated[dict[str, Any], Meta(description='the P-384 key that signs blocks, { backend = "…", … }')]
    author_key: Annotated[dict[str, Any] | None, Meta(description="the key that vouches for the id key")] = None
    svn: Annotated[int, Meta(ge=0, description="security version of the guest")] = 0


class IdBlockOutput(LaunchFormat):
    """JSON: an ID block and ID authentication for each SEV-SNP digest, with the digests of the keys.

    >>> IdBlockOutput.suffix
    '.id-blocks.json'
    """

    name = "id-block"
    suffix = ".id-blocks.json"
    Options = IdBlockOptions

    def preview(self, options: IdBlockOptions, context: PreviewContext) -> Sequence[PlannedFile]:
        context.key(options.id_key, "id-key")
        if options.author_key is not None:
            context.key(options.author_key, "author-key")
        return super().preview(options, context)

    def emit(self, options: IdBlockOptions, build: Build, context: OutputContext) -> None:
        from fuki_coco import id_blocks  # noqa: PLC0415 - cryptography only where something is signed

        id_key = context.key(options.id_key, "id-key")
        author = context.key(options.author_key, "author-key") if options.author_key is not None else None
        document = id_blocks.document(self.launches(options, build), id_key, author, options.svn)
        context.write(context.path, encode_json(document))
