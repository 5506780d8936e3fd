"""Signing images and verifying them, as UEFI Secure Boot has it; its keys, and firmware that trusts them."""
