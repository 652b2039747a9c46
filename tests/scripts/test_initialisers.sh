#!/bin/sh
# Nothing of the libraries runs before main: no object of theirs asks for it. Usage: test_initialisers.sh DIRECTORY, of the archives.
set -eu
refused='\.(init_array|ctors|preinit_array)'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The search finds what it is for.
echo 'int before; __attribute__((constructor)) static void begin(void) { before = 1; }' >"$work/begin.c"
cc -c "$work/begin.c" -o "$work/begin.o"
readelf -SW "$work/begin.o" | grep -Eq "$refused" || { echo "readelf does not show a static initialiser"; exit 1; }
for archive in libonebit.a libonebit_train.a; do
    readelf -SW "$1/$archive" >"$work/sections"
    objects=$(grep -c '^File: ' "$work/sections")
    [ "$objects" -gt 10 ] || { echo "$archive has $objects objects only"; exit 1; }
    if grep -E "^File: |$refused" "$work/sections" | grep -EB1 "$refused"; then
        echo "these objects of $archive have static initialisers"
        exit 1
    fi
done
