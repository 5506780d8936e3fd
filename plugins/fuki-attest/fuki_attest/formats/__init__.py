"""Byte formats of attestation evidence: bounded, pure, bytes in and values out."""
