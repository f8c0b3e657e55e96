# As everyday.py, for bash. 110.
set -eu
mkdir -p a/b && cp -r a c && mv c d && rm -r d && ln -s a link && touch -d yesterday a/b/f
for n in 1 2 3; do echo $n; done | tac | xargs -n1 | sort -n | tail -1 | grep -q 3
cat <<<here >f && tee g <f >/dev/null && diff <(cat f) <(cat g) && cmp f g
coproc cat; echo x >&"${COPROC[1]}"; read -r -u "${COPROC[0]}" got; [ "$got" = x ]
(sleep 0.01 & wait); timeout 1 true; seq 3 | while read -r n; do :; done
trap 'echo done' EXIT
tar cf t.tar a && tar xf t.tar && gzip t.tar && gunzip t.tar.gz && find . -name f | grep -q f
printf 'int main(){return 0;}' >m.c && gcc -o m m.c && { [ -x m ] && ./m; }
