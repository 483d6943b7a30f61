"""`sun4v report`: what happened in a migration, from its record: text, JSON, a trace, a picture."""
