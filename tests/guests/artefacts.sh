# What file-out must not follow, open or wait for.
ln -s /etc/passwd link
ln -s /proc/self/environ magic
mkdir inner; ln -s /etc inner/etc
mkfifo fifo
ln -s . loop
echo good > good
truncate -s 1T sparse 2>/dev/null
echo done
