"""What the manager can do: one function for each sub-command, registered by its name (`ldmd.operations.registry`)."""
