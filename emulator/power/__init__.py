"""Machines as processes: power them on and off, list them, look at their consoles and events."""
