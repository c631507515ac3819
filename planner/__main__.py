"""The command `planner`, and python -m planner."""

import signal


def main() -> None:
    """Run the command line; the process ends with the command's exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # before a command has begun and after it has ended, Ctrl-C ends the process without a traceback
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from planner.cli import app

    app.main()


if __name__ == "__main__":
    main()
