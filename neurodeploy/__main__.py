"""`python -m neurodeploy` is the program `neurodeploy`."""

from neurodeploy.cli import main

if __name__ == "__main__":
    main()
