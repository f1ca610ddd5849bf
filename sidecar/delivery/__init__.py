"""Stage 4: sealed batches -> the collector.

Read it in the order of one batch: `payload` wraps its events in a container, compresses (`compression`) and
signs them; `post` makes one attempt over `eventpub.sidecar.http`; `answer` holds the result and what it means,
`refusal` what it means for each event of a batch; `backoff` says when to try again; `sender` runs all of this.
"""
