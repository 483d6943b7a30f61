"""The control interface of a machine process: protocol.md beside this file."""
