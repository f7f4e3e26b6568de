"""``python -m archsearch``: the same as the command ``archsearch``."""

from archsearch.cli.main import main

main()
