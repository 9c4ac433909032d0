from export.cli import export_command

export_command(prog_name="python -m export")
