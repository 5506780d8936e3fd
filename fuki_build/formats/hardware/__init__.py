"""SMBIOS tables and devicetrees."""
