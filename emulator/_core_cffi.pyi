# The generated extension module: what cffi makes of csrc/sun4v.h. Only emulator/_core.py imports it.
from typing import Any

ffi: Any
lib: Any
