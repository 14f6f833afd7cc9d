"""Units: what figures are multiplied or divided by to be told."""

KILO, MEGA, GIGA = 1e3, 1e6, 1e9
MILLI = 1e-3
MEBIBYTE, GIBIBYTE = 2**20, 2**30
