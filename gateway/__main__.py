"""`python -m gateway`: the same as the command `autoscribe-gateway`."""

from gateway.cli.main import main

main()
