"""The publisher daemon: kernel queue -> batch files -> collector.

Read it in the order of the data: `receive` moves messages from the queue to the `spool`, a folder of batch
files; `delivery` sends batch files to the collector. `daemon` connects the stages, `config` has their settings,
and `telemetry` keeps the books.
"""
