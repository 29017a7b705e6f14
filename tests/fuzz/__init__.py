"""A fuzzer of everything that reads what clients send: `python -m tests.fuzz --seconds 60`.

Inputs are made from real files and requests by changing them. One that reaches a line of our code
that none has reached before is kept, and changed further. What a reader raises must be one of the
errors that it says; what it gives must hold. A failing input is kept as a file, and can be tried
again: `python -m tests.fuzz --replay FILE`.
"""
