"""One request over HTTP and the answer to it, whatever the other end, a proxy or the line does.

`route` finds the way to a URL, `connections` lends a connection that `dial` has made, `exchange` sends and
receives for as long as `patience` allows, `reading` parses one answer, and `trouble` explains a missing one;
`certificates` looks at the files of TLS before they are needed. Nothing here knows of events or batches.
"""
