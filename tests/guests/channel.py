# A cell of a live session that talks on its interpreter's channel: too much, half, nothing, foreign, with descriptors.
import os, socket, struct
channel = socket.socket(fileno=os.dup(3))
channel.setblocking(False)
files = [os.open("/dev/null", os.O_RDONLY) for _ in range(64)]
message = struct.pack("<IIQq", 0x70727431, 16, 1, 0)  # as if it were the slot's word of an end
for data in (b"", b"x", message, message + bytes(4096), b"\xff" * 300, bytes(200000)):
    for some in (0, 1, 16, 17, 64):
        if not data and not some:
            continue  # the end of the channel, as far as anybody can tell
        try:
            socket.send_fds(channel, [data], files[:some])
        except OSError:
            pass
for pid, uid in ((1, 0), (os.getpid(), 0)):
    try:
        channel.sendmsg([message], [(socket.SOL_SOCKET, 2, struct.pack("3i", pid, uid, 0))])
        print("escaped: 100 credentials")
    except OSError:
        pass
print("done")
