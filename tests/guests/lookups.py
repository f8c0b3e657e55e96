# Names that are not there, each remembered by the kernel for a while.
import os, time
end = time.monotonic() + 1.5
n = 0
while time.monotonic() < end:
    for _ in range(100):
        n += 1
        try:
            os.stat("/usr/lib/%0200d" % n)
        except OSError:
            pass
print(n, "done")
