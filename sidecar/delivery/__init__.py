"""Stage 4: sealed batches -> the collector.

Read it in the order of one batch: `payload` wraps its events in a container, compresses (`compression`) and
signs them; `post` makes one attempt; `answer` says what came back and what that means, `refusal` what it
means for each event of a batch; `backoff` says when to try again; `sender` decides and does it.

An attempt in turn: `route` says how to get to a URL, `connections` lends a connection that `dial` has made,
`exchange` sends and receives as long as `patience` lasts, `reading` makes one answer of what came, and
`trouble` has the words where none did.
"""
