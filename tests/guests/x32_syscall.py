# The x32 numbers of the 64-bit table: the filter must end it.
import ctypes
print("escaped: 54 x32", ctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 + 39)))
