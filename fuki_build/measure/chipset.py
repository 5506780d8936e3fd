"""The chipsets of QEMU's machine types that OVMF knows apart."""

from enum import StrEnum


class Chipset(StrEnum):
    Q35 = "q35"
    I440FX = "i440fx"
