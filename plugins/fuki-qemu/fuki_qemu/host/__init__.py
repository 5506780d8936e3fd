"""Hosts whose guests replace their firmware: a model of QEMU's vm-launch-update, and QEMU with the device itself.

The model is no hypervisor for production: it exists so that images can be tried before QEMU 11.2 is everywhere.
"""
