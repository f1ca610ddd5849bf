"""The publisher daemon: kernel queue -> batch files -> collector.

Read it in the order of the data: `receive` takes messages from the queue into the `spool`, a folder of batch
files; `delivery` takes batch files to the collector. `daemon` ties the stages
together, `config` says how, `telemetry` keeps the books.
"""
