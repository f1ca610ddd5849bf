"""Bytes -> requests: the listening socket, connections within bounds, and the bodies they carry."""
