"""Results as tables of text: data in, `Table` out. How a table reaches a screen or a pipe is `cli.terminal`'s business.

Each table is imported from its own file: what one command prints need not import what others do.
"""
