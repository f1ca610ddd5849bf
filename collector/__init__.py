"""The collector: takes signed batches over HTTP, stores every event once, and confirms only what it has stored.

    http -> encodings -> signatures -> events -> store
     request      plain body    key       rows      dedupe and rows in one transaction

`intake` runs the stages up to the signature, within a bound for all requests together; `application` runs the
others. An HTTP Message Signature is verified before its body is unpacked. `responses` has the form of all
answers; `faults` misbehaves in front of the stages, for tests of senders.
"""
