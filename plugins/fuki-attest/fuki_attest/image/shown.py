"""Which machine the evidence shows, in the words of an image."""

from fuki_build.hooks import View


class ShownView(View, frozen=True, kw_only=True):
    """What a piece of evidence shows of the machine; what it does not tell is empty, or null.

    `launch` says how the guest was launched, `phase` after which path of boot phases PCR 11 has its value.
    """

    subject: str
    kind: str
    processor: str = ""
    firmware: str | None = None
    profile: int | None = None
    profile_known: bool = False
    launch: str = ""
    phase: str | None = None

    @property
    def text(self) -> str:
        """One sentence, such as `SEV-SNP guest on Milan, firmware ovmf-amdsev, profile 1, …`."""
        parts = [f"{self.kind}{f' on {self.processor}' if self.processor else ''}"]
        if self.firmware is not None:
            parts.append(f"firmware {self.firmware}")
        if self.profile_known and self.profile is not None:
            parts.append(f"profile {self.profile}")
        if self.launch:
            parts.append(self.launch)
        if self.phase is not None:
            parts.append(f"phase {self.phase or 'before the first'}")
        return ", ".join(parts)
