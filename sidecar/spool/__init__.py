"""Stage 3: received events -> batch files on disk, each until the collector has it.

One batch is one file and the file system is the index. Below `spool.dir`:

| name                          | what                                                                       |
|-------------------------------|----------------------------------------------------------------------------|
| `QUEUE/SLOT/`                 | locked by the sidecar that owns the slot, a number from 0                  |
| `QUEUE/SLOT.sock`             | where that sidecar answers `eventpub status` (`status.answering`)          |
| `QUEUE/SLOT/NNN.open`         | the batch that is filling, and a spare; read back and sealed at start      |
| `QUEUE/SLOT/NNN.EVENTS.batch` | a sealed batch of that many events                                         |
| `QUEUE/SLOT/NNN.splitting`    | parts being written; thrown away at start                                  |
| `QUEUE/SLOT/NNN.split`        | finished parts of batch NNN, whose file they replace; taken over at start  |
| `QUEUE/SLOT/NNN.EVENTS.cut`   | so many events of batch NNN were cut out by a repair; counted at start     |
| `QUEUE/dead/ID-INDEX.json`    | an event the collector will never take, and why                            |
| `QUEUE/dead/ID.replay`        | the letters that a replay sends as batch ID, until its outcome is known    |
| `QUEUE/reserve/SLOT-N.reserve` | empty: space kept free, so that batches can be taken apart on a full disk |
| `QUEUE/damaged/`              | copies of batch files with unreadable records; files that are not batches  |
| `QUEUE/repaired/TIME/SLOT/`   | the files that `eventpub spool repair` changed, as they were               |

NNN rises by one a batch, so names sort by age. Every change of state is one rename, so a process killed at
any instant leaves a state from which the next one goes on. `records` has the bytes of a batch file.
"""
