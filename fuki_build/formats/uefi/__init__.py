"""UEFI variables, signature lists, firmware volumes, disks and device paths."""
