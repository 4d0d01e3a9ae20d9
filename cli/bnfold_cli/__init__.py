"""The `bnfold` command: parse, call the library, print. One file a command."""
