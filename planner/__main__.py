"""The command `planner`, and python -m planner."""

import signal


def main() -> None:
    """Run the command line. What Ctrl-C interrupts before it has begun ends without a word, by the signal."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from planner.cli import app

    signal.signal(signal.SIGINT, before)
    app.main()


if __name__ == "__main__":
    main()
