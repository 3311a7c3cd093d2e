"""The worker process: what only a worker (and the zygote it is forked from) does."""
