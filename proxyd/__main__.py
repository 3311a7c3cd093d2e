"""`python -m proxyd` is the command `proxyd`."""

from proxyd.cli import main

main()
