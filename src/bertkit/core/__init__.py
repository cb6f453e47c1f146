"""Devices, seeding, atomic files, console: what every floor stands on."""
