"""What predictions are made of, for formats that tell of single events: loaded when one of them asks for it."""

from fuki_build.measure import pcr9, pcr11
from fuki_build.measure.events import CONSTANT, Event
from fuki_build.measure.predict import Prediction
from fuki_build.measure.views import PredictionsView

PCR_KERNEL_INITRD, PCR_KERNEL_BOOT = pcr9.PCR, pcr11.PCR
"""systemd's names of the registers that the kernel measures into, and the stub with the phases of the boot."""

CONSTANT_SOURCE = CONSTANT
"""`Event.source` of what firmware measures the same on every machine."""

COMMAND_LINE_SOURCE = pcr9.OPTIONS
"""`Event.source` of the kernel's command line in PCR 9."""

__all__ = [
    "COMMAND_LINE_SOURCE",
    "CONSTANT_SOURCE",
    "PCR_KERNEL_BOOT",
    "PCR_KERNEL_INITRD",
    "Event",
    "Prediction",
    "PredictionsView",
]
