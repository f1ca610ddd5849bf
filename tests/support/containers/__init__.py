"""Podman in the place of Docker and of a cluster: it runs what the files of deploy/ describe, for their tests.

`docker` and `kubectl` take the commands that the READMEs of deploy/ have, and do what those programs would, as
far as one machine can. A key of a file that they do not know ends them, so that nothing passes unread.
"""
