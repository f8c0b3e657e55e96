# argv: how many files there may be. Many small files: 10. A file of no bytes that is said to be large: 11.
import os, sys
from attack import attempt, escaped
made = 0
try:
    for made in range(60000):
        os.close(os.open(str(made), os.O_CREAT | os.O_WRONLY))
except OSError as error:
    print(error)
if made > int(sys.argv[1]):
    escaped(10, made, "files")
for make in (lambda fd: os.truncate(fd, 1 << 40), lambda fd: os.posix_fallocate(fd, 0, 1 << 40), lambda fd: os.pwrite(fd, b"x", 1 << 40)):
    # In a child: who outgrows the limit is ended.
    if os.fork() == 0:
        attempt(11, "a file of 1 TiB", lambda: make(os.open("0", os.O_RDWR)) or True)
        os._exit(0)
    os.wait()
print("done")
