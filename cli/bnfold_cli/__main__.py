"""`python -m bnfold_cli`, which `torchrun -m bnfold_cli` calls too."""

from bnfold_cli.main import main

if __name__ == "__main__":
    main()
