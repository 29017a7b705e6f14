"""Figures of the whole archive, measured in one run: `make bench`.

Each is printed beside something that does the same without an archive (`cp`, nginx), since the
ratio says more than the seconds of one machine.
"""
