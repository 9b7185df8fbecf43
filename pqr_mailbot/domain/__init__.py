"""Floor 1: the rules of the desk. Pure: no I/O, no clock, standard library only."""
