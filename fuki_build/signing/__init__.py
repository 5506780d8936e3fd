"""Signing images and verifying them: Authenticode as UEFI Secure Boot has it."""
