"""The command line, run in this process."""

from __future__ import annotations

from typer.testing import CliRunner

from ckpt_inspect.cli.app import app


class Answer:
    """What a command left behind."""

    def __init__(self, *arguments: object) -> None:
        result = CliRunner().invoke(app, [str(a) for a in arguments], prog_name="ckpt-inspect")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        self.code = result.exit_code
        self.out = result.stdout
        self.remarks = result.stderr

    @property
    def sentence(self) -> str:
        """The one line on stderr, without the program's name."""
        (line,) = self.remarks.splitlines()
        assert line.startswith("ckpt-inspect: ")
        return line.removeprefix("ckpt-inspect: ")
