"""The command line: `itmp` and `itmp-verify`. Arguments and printing, nothing else."""
