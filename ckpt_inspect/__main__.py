"""`python -m ckpt_inspect` and the console script."""

from __future__ import annotations


def main() -> None:
    from ckpt_inspect.cli import main as run

    run()


if __name__ == "__main__":
    main()
