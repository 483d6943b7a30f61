"""`sun4v demo`: a running domain moves between two servers of different kinds and back, and nothing is lost.

A home of its own, two servers, labos in two domains. One works: it stamps memory, writes numbered blocks to a disk,
prints numbers on its console, answers a conversation over TCP. It is moved by the real `ldm migrate-domain`, there
by password and back by certificate; then every stamp, block, number and byte is checked, from within and from outside.
"""
