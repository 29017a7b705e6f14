"""`python -m cli`: the same as `coverslip`, for child processes."""

from cli.main import app

if __name__ == "__main__":
    app(prog_name="coverslip")
