"""Rigs that several tests use: each process, disk, line and server once."""
