"""`python -m heygemd` is the command line."""

from heygemd.cli import main

if __name__ == "__main__":
    main()
