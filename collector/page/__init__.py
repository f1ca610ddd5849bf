"""A page that shows events as they arrive, and an interface for tests beside it: `page.listen`, off by default.

What the collector did with each event is noted in a ring in memory (`feed`). Those who read it, pages
(`stream`) and tests (`asking`), come by and fetch what is new, so taking in a batch never waits for them. A
reader that is slower than the ring is told how many events it has missed.
"""
