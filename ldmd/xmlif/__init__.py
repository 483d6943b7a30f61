"""The XML interface: documents of domains' constraints, read and written, and requests with their responses.

`tree` reads XML safely; `resources` is the table of resource types and their keys; `export` and `read` are its two
directions; `interface` carries out LDM_interface requests. Pure: no sockets, no files.
"""
