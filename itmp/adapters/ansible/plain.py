"""`python -m itmp.adapters.ansible.plain PROGRAM ARGUMENTS`: as `python -m ansible` would, started sooner."""

from itmp.adapters.ansible import _sooner

if __name__ == "__main__":
    _sooner.start_sooner()
    from ansible.__main__ import main

    main()
