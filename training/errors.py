"""The one exception for what the user can mend."""

import click


class InputError(click.ClickException):
    """Bad input or a missing tool: shown as one line, without a traceback; the process exits with code 2."""

    exit_code = 2
