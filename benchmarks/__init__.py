"""What eventpub costs, measured beside reddit/baseplate.py on the same machine in the same run.

`python -m benchmarks` runs everything and prints one table; README.md says how to read it. Nothing here is a
test: a figure depends on the machine and on its neighbours, so only ratios within one run mean something.
"""
