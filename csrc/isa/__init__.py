"""The instruction table and the generators that turn it into C, tests and documentation."""
