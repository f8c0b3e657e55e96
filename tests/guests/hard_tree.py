# A tree that is hard to remove: deep, locked, oddly named, wide.
import os
for name in ("-rf", " ", "a\nb", "\xff\xfe", "*", "." * 3, "x" * 255):
    open(name, "w").close()
    os.mkdir(name[:254] + "y")
os.mkdir("locked")
open("locked/file", "w").close()
os.symlink("/", "locked/root")
os.symlink("locked", "circle")
try:
    os.chmod("locked", 0)
except OSError:
    pass
try:
    for depth in range(1500):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
except OSError as error:
    print(depth, error)
print("done")
