# Leaves children that go on after the end: they put links, fifos and the host's files where a file is asked
# for, and cut it short.
import os
open("out", "w").write("mine" * 1000)
open("other", "w").write("mine" * 1000)
os.symlink("/etc/passwd", "link")
os.mkdir("folder")
os.symlink("/etc", "etc")
for work in range(4):
    if os.fork() == 0:
        os.setsid()
        while True:
            try:
                if work == 0:
                    os.symlink("/etc/passwd", "swap")
                    os.rename("swap", "out")
                elif work == 1:
                    open("new", "w").write("mine" * 1000)
                    os.rename("new", "out")
                elif work == 2:
                    os.truncate("other", 0)
                    os.truncate("other", 4000)
                else:
                    os.rename("folder", "kept")
                    os.rename("etc", "folder")
                    os.rename("folder", "etc")
                    os.rename("kept", "folder")
            except OSError:
                pass
print("done")
