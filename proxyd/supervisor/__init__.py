"""The supervisor decides, workers serve: the instance, its generations, sockets, names, and commands."""
