"""The bnfold library."""
