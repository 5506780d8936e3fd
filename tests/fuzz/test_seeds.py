from itertools import chain

import pytest

from .helper import NAMES, load


def test_every_parser_has_a_target():
    parsers = "pe efifw hwids sbat env_file firmware kernel inspect mkosi toml smbios dmi_text machine fdt"
    parsers += " efi_signature_list authenticated_variable variable_store signed_data shim"
    parsers += " event_log measure pkcs11_uri pcrsig report gpt"
    parsers += " secure_boot_support measured_firmware own_stores qemu_report"
    parsers += " igvm launch hand_over qemu_console id_block wrapping"
    parsers += " recipe verbs second_reader matrix"
    parsers += " signature_verdicts ukify_conf kernel_install digest_entry"
    parsers += " snp_report certificate_table td_report td_quote tpm_quote paravisor agent_evidence"
    parsers += " attestation_certificate collateral evidence"
    assert set(parsers.split()) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_target_survives_its_seeds_and_their_halves(name: str):
    target = load(name)
    seeds = list(target.seeds())
    assert seeds
    for data in chain(seeds, (seed[: len(seed) // 2] for seed in seeds), [b""]):
        target.run(data)
