"""ldmd: the Logical Domains Manager.

Not there yet: this version of sun4v has the CPU only. The commands exist, so that scripts and packages can
name them, and say so.
"""
