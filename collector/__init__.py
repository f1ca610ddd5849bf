"""The collector: takes signed batches over HTTP, stores every event once, and says so only when it has.

    http -> encodings -> signatures -> events -> store
     a request     plain body   whose     events      dedupe and rows in one transaction

An HTTP Message Signature is verified before its body is unpacked. `application` runs the stages in that order;
`answer` is what each of them may end a request with; `faults` stands in front of them when a test asks for
misbehaviour.
"""
