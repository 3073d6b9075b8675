"""`python -m cropzoom`: the command, for launchers that take a module."""

from cropzoom.cli import app

app()
