"""The collector: takes signed batches over HTTP, stores every event once, and says so only when it has.

    http -> encodings -> signatures -> events -> store
     a request     plain body   whose     events      dedupe and rows in one transaction

`intake` runs the stages as far as the signature, within a bound for all requests together; `application` runs
the others. An HTTP Message Signature is verified before its body is unpacked. `responses` has the form of all
answers; `faults` stands in front of the stages when a test asks for misbehaviour.
"""
