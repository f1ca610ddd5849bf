"""The Thrift schema of version 2 events, and the Python classes the thrift compiler made of it.

`event.thrift` is the source, `event/` is generated: `python -m eventpub.schemas.generate` writes it anew, and
`--check` tells whether that is due. Applications use `eventpub.schemas.event.ttypes.Event`.
"""
