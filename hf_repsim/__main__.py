"""`python -m hf_repsim` and `accelerate launch -m hf_repsim` are the command line."""

from hf_repsim.cli import main

if __name__ == "__main__":
    main()
