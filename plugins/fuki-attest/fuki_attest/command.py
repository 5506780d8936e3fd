"""The verb `fuki attest`: evidence of confidential guests and TPMs, told in words and verified."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from fuki_build import json_option
from fuki_build.hooks import encode_json

if TYPE_CHECKING:
    from fuki_attest.explain.views import ExplainDocument
    from fuki_attest.show import EvidenceDocument
    from fuki_attest.verdict import VerdictDocument

_path = click.Path(path_type=Path)
_files = click.argument("files", metavar="FILE…", nargs=-1, required=True, type=_path)


def _evidence_document() -> "type[EvidenceDocument]":
    from fuki_attest.show import EvidenceDocument  # noqa: PLC0415 - as below

    return EvidenceDocument


def _explain_document() -> "type[ExplainDocument]":
    from fuki_attest.explain.views import ExplainDocument  # noqa: PLC0415 - as below

    return ExplainDocument


def _verdict_document() -> "type[VerdictDocument]":
    from fuki_attest.verdict import VerdictDocument  # noqa: PLC0415 - as below

    return VerdictDocument


# cryptography is slow to load, and needed only where evidence is read.
@click.group()
def attest() -> None:
    """Read, verify and explain evidence: reports, quotes, certificates, event logs, collateral."""


@attest.command()
@_files
@json_option(_evidence_document)
def show(files: tuple[Path, ...], as_json: bool) -> None:
    """Tell each field of the evidence in FILEs in words; nothing is verified.

    FILEs are recognised by their content, in any order: reports of SEV-SNP with or without certificates, quotes and
    reports of TDX, TPM quotes and signatures, HCL reports, evidence of Trustee's agents, event logs, certificates,
    revocation lists, and Intel's collateral.
    """
    from fuki_attest import evidence, show  # noqa: PLC0415

    document = show.document(evidence.read(files))
    if as_json:
        click.echo(encode_json(document), nl=False)
    else:
        show.print_evidence(document)


@attest.command()
@_files
@click.option("--roots", metavar="DIR", type=_path, help="Trust these root certificates, in place of the vendors'.")
@click.option("--collateral", metavar="DIR", type=_path, help="TCB info, identities and revocation lists in files.")
@click.option("--at", metavar="TIME", help="The time that counts, in ISO 8601; by default now.")
@click.option("--nonce", metavar="HEX", help="The challenge that the evidence answers.")
@click.option("--nonce-file", metavar="FILE", type=_path, help="The same, as bytes in a file.")
@click.option("--minimum-tcb", metavar="TEXT", help="Of SEV-SNP: boot-loader=3,tee=0,snp=8,microcode=115.")
@click.option("--trusted-key", "trusted_keys", metavar="FILE", multiple=True, type=_path, help="A TPM's key to trust.")
@click.option("--allow-debug", is_flag=True, help="Accept a guest whose memory the host may read.")
@click.option("--allow-migration", is_flag=True, help="Accept a guest that may be moved.")
@click.option("--image", metavar="IMAGE", type=_path, help="Hold measurements against this UKI, or firmware.")
@click.option("--recipe", metavar="FILE", type=_path, help="How it is launched: the recipe's [[fuki.launch]].")
@click.option("--machine", metavar="NAME", help="The machine that boots it: a platform, 'name:selector', or a file.")
@click.option("--id-blocks", metavar="FILE", type=_path, help="ID blocks that the build wrote (output 'id-block').")
@click.option("--id-key", metavar="FILE", type=_path, help="The public key that signs ID blocks.")
@click.option("--author-key", metavar="FILE", type=_path, help="The public key that vouches for it.")
@click.option("--host-data", metavar="HEX", help="What the host is to have given the guest.")
@click.option("--ear", "as_ear", is_flag=True, help="Print an EAT attestation result: its claims, or a token.")
@click.option("--ear-key", metavar="TOML", help="""Sign it, as in 'backend = "local", key = "ear.key"'.""")
@click.option("--ear-policy", metavar="ID", multiple=True, help="What you call the policy you ask by (repeatable).")
@json_option(_verdict_document)
@click.pass_obj
def verify(
    plugins: tuple[str, ...],
    /,
    files: tuple[Path, ...],
    as_ear: bool,
    as_json: bool,
    **asked: Any,  # noqa: ANN401 - the other options
) -> None:
    """Verify the evidence in FILEs step by step, up to AMD's and Intel's roots; nothing is fetched.

    Each step is a line: what was held against what, and whether it holds. What would be needed for a step and was not
    given is not verified. Exits with 3 unless all that was asked for holds: signatures and keys always, the rest by
    options.
    """
    from fuki_attest import evidence, options, verdict  # noqa: PLC0415 - as above
    from fuki_attest.ear import token  # noqa: PLC0415
    from fuki_attest.ear.result import attestation_result  # noqa: PLC0415
    from fuki_attest.verify import run  # noqa: PLC0415
    from fuki_attest.verify.steps import unanswered  # noqa: PLC0415
    from fuki_attest.words.fields import time  # noqa: PLC0415

    if as_ear and as_json:
        raise click.UsageError("--ear and --json are two forms of one answer.")
    if not as_ear and (asked["ear_key"] is not None or asked["ear_policy"]):
        raise click.UsageError("--ear-key and --ear-policy are about what --ear prints.")

    policy = options.appraisal_policy(asked)
    collateral = options.read_collateral(asked["collateral"]) if asked["collateral"] else ()
    given = options.join(evidence.read(files), collateral)
    steps = run.verify(given, policy)
    compared = options.compare(given, plugins, asked)
    steps += compared[0]

    if as_ear:
        result = attestation_result(steps, policy.nonce, asked["ear_policy"], datetime.now(UTC))
        click.echo(token.in_text(result, asked["ear_key"], plugins), nl=False)
    elif as_json:
        document = verdict.VerdictDocument(
            at=time(policy.at), holds=not unanswered(steps), steps=tuple(steps), shows=tuple(compared[1])
        )
        click.echo(encode_json(document), nl=False)
    else:
        verdict.print_steps(steps)
        verdict.print_shown(compared[1])
    verdict.judge(steps)


@attest.command()
@_files
@click.option(
    "--image",
    "images",
    metavar="IMAGE",
    multiple=True,
    required=True,
    type=_path,
    help="What it may be of (repeatable).",
)
@click.option("--firmware", metavar="FILE", multiple=True, type=_path, help="Firmware beside images (repeatable).")
@click.option("--recipe", metavar="FILE", type=_path, help="How it is to be launched: the recipe's [[fuki.launch]].")
@click.option("--machine", metavar="NAME", help="The machine that boots it: a platform, 'name:selector', or a file.")
@click.option(
    "--cmdline", "cmdlines", metavar="TEXT", multiple=True, help="What a loader or hypervisor may pass (repeatable)."
)
@click.option("--svsm", metavar="FILE", type=_path, help="An SVSM that the guest may start in.")
@click.option("--variables-size", type=click.IntRange(0), help="Size of the variable store between SVSM and firmware.")
@click.option("--addon", "addons", metavar="FILE", multiple=True, type=_path, help="An addon (repeatable).")
@click.option("--global-addon", "global_addons", metavar="FILE", multiple=True, type=_path, help="One for all images.")
@click.option("--loader", "loaders", metavar="FILE", multiple=True, type=_path, help="An EFI program before the image.")
@click.option("--console", metavar="TEXT", help="What the stub appends where no console= is given, or ''.")
@click.option("--no-boot-secret", is_flag=True, help="The stub finds no randomness to make its secret of.")
@click.option("--disk", metavar="FILE", type=_path, help="The disk that it starts from, as raw data, for RTMR1.")
@click.option("--secure-boot", type=click.Choice(["on", "off", "absent"]), help="Its state, for PCR 7.")
@click.option("--variables", metavar="FILE", type=_path, help="The machine's variable store, for PCR 7.")
@click.option("--variable", "lists", metavar="NAME=FILE", multiple=True, help="PK, KEK, db, dbx (repeatable).")
@json_option(_explain_document)
@click.pass_obj
def explain(plugins: tuple[str, ...], /, files: tuple[Path, ...], as_json: bool, **asked: Any) -> None:  # noqa: ANN401
    """Tell what the measurements in FILEs were made of, where they are others than predicted; verifies nothing.

    Launch digests are searched among all launches of the images and firmware; registers among what profiles, firmware,
    addons, loaders and command lines measure, with events left out, added or exchanged; logs are explained event by
    event. Exits with 3 unless all of it is as an image measures it.
    """
    from fuki_attest import evidence  # noqa: PLC0415 - as above
    from fuki_attest.explain import question, run, views  # noqa: PLC0415

    document = run.explain(evidence.read(files), question.read_question(plugins, asked))
    if as_json:
        click.echo(encode_json(document), nl=False)
    else:
        views.print_explained(document)
    views.judge(document)
