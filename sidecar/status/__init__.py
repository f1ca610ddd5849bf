"""What a sidecar tells of itself: one record, many views.

| module        | what                                                                                    |
|---------------|-----------------------------------------------------------------------------------------|
| `record`      | the record: every fact, typed and versioned                                             |
| `observer`    | fills it from what the stages noted; `slow_facts` has what takes a disk or `/proc`      |
| `troubles`    | what is wrong, from the record alone                                                    |
| `routes`      | `/status`, `/livez`, `/readyz`, `/metrics`: the record over HTTP                        |
| `answering`   | the socket beside the slot, which is always there, and `status.listen`                  |
| `ask`         | the other end: finds the sockets, asks one, tells a hung process from a dead one        |
| `passing`     | `/tap`: what passes, copied to who reads it; `frames` is its form                       |

To add a route: `Answering.add(path, function)`, where the function takes the query as a mapping and returns an
`eventpub.process.listener.Reply`. It is answered on the slot's own socket only, which nobody but the sidecar's
user can open; `status.listen`, which others may reach, has the four routes above. `ask.connect_slot` is the
client's side of it.
"""
