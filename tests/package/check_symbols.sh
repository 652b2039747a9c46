#!/bin/sh
# What leaves the shared libraries: the functions that the public headers declare with OB_API, as version ONEBIT_0, each in one library;
# beside them what libonebit_train.so takes from libonebit.so, as ONEBIT_PRIVATE_<version>; nothing else.
#
#   check_symbols.sh INCLUDE LIBRARY_DIRECTORY
set -eu

include=$1 directory=$2
failed=0
fail() {
    echo "check_symbols.sh: $1" >&2
    failed=1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat "$include"/onebit/*.h | sed -n 's/^OB_API [^(]*[ *]\(ob_[a-z0-9_]*\)(.*/\1/p' | sort >"$work/declared"
[ "$(wc -l <"$work/declared")" -ge 40 ] || fail "only $(wc -l <"$work/declared") functions were found in $include"
for library in onebit onebit_train; do
    file=$directory/lib$library.so.0
    nm -D --defined-only "$file" | awk '$2 != "A" { print $3 }' >"$work/$library"
    readelf -d "$file" >"$work/dynamic"
    grep -q "SONAME.*\[lib$library.so.0\]" "$work/dynamic" || fail "$file has another SONAME"
    if grep -q 'NEEDED.*vulkan' "$work/dynamic"; then fail "$file is linked to the Vulkan loader"; fi
    # One constructor is the C compiler's own.
    constructors=$(readelf -SW "$file" | sed -n 's/^.*\] \.init_array *INIT_ARRAY *[0-9a-f]* [0-9a-f]* \([0-9a-f]*\) .*/\1/p')
    [ "$((0x${constructors:-0}))" -le 8 ] || fail "$file runs constructors"
done
sed -n 's/@@ONEBIT_0$//p' "$work/onebit" "$work/onebit_train" | sort >"$work/exported"
diff "$work/declared" "$work/exported" >"$work/diff" || fail "declared (<) and exported (>) differ:
$(cat "$work/diff")"
grep -v '@@ONEBIT_0$' "$work/onebit" | sed 's/@@/@/' | sort >"$work/private"
nm -D --undefined-only "$directory/libonebit_train.so.0" | awk '{ print $2 }' | grep '@ONEBIT_PRIVATE' | sort >"$work/taken"
diff "$work/private" "$work/taken" >"$work/diff" || fail "what libonebit.so gives (<) and libonebit_train.so takes (>) differ:
$(cat "$work/diff")"
if grep -v '@@ONEBIT_0$' "$work/onebit_train" >&2; then fail "libonebit_train.so exports these"; fi
[ "$failed" = 0 ] || exit 1
echo "$(wc -l <"$work/exported") public functions, $(wc -l <"$work/private") names between the two libraries, nothing else"
