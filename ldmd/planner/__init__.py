"""Pure planning: from a configuration and a request to another configuration, or a refusal. No I/O, no clock."""
