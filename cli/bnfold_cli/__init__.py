"""The command line of bnfold."""
