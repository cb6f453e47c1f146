"""`python -m bertkit`, which is how torchrun starts the command line: `torchrun ... -m bertkit pretrain ...`."""

from bertkit.cli.main import main

if __name__ == "__main__":
    main()
