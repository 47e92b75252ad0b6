"""``python -m edgewright``: the command line, where the script is not on the PATH."""

from edgewright.cli import main

if __name__ == "__main__":
    main()
