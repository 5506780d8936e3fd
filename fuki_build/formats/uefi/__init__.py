"""UEFI's variables, signature lists, firmware volumes, disks and device paths."""
