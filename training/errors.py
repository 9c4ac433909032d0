"""The one exception for what the user can mend."""

import click


class InputError(click.ClickException):
    """Bad input or a missing tool: shown as one line, without a traceback; the process exits with code 2."""

    exit_code = 2


def shown(value: object) -> str:
    """`value`, which may be anything, for a message of one line."""
    if isinstance(value, str):
        return repr(value[:40])
    if value is None or type(value) in (bool, float) or (type(value) is int and abs(value) < 1e20):
        return repr(value)
    return f"something of type {type(value).__name__}"
