"""The whole rig, with everything going wrong at random: `make soak`; begin with `__main__`."""
