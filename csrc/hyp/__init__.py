"""The hypervisor: C, and the generator of its reference page."""
