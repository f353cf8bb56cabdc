"""One file or folder for each outside system. Doors are declared by the rooms that need them."""
