"""`python -m services.cli`: the `selaras` command."""

from services.cli import main

main()
