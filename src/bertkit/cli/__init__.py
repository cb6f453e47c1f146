"""The `bertkit` command: a thin layer over the public functions of `bertkit`.

- `main`: the application with its commands, `--config`, messages and exit codes
- a file for each command or pair of commands: its options with their help, one call, what it prints
- `inputs`, `labelled`: options that commands share, for texts and for labelled data
- `outputs`: how predictions are written

A command imports what it runs when it runs, so that no `--help` waits for NumPy or torch. What a command does belongs
to the function that it calls: a program gets the same from Python.
"""
