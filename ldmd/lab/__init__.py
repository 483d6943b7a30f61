"""`sun4v lab`: several servers, their services and domains from one file.

The file becomes commands of `ldm`, which are carried out by each server's manager: a lab can do what a person can do,
and nothing else. docs/howto/labs.md describes the file.
"""
