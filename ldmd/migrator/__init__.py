"""Live migration made real: the link between two managers, and what carries out the effects of `ldmd.migration`.

`migrations.Migrations` is the door: `manager.migrations`. docs/internals/migrator.md tells how the parts fit.
"""
