def stamp(path):
    with open(path, "w") as file:
        file.write("stamped\n")
    return True
