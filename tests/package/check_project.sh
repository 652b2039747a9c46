#!/bin/sh
# Builds the project of this directory against onebit as it lies in a directory, by cmake or by hand with pkg-config, and compares what
# its programs generate with what onebit-run-vk does.
#
#   check_project.sh cmake|pkg-config static|shared PREFIX RUN MODELS WORK
#
# PREFIX: a build tree, or where onebit was installed to. RUN: the program onebit-run-vk. MODELS: the directory models/ of the project.
# WORK: an empty directory, or one that is not there.
set -eu

way=$1 kind=$2 prefix=$3 run=$4 models=$5 work=$6
here=$(cd "$(dirname "$0")" && pwd)
fail() {
    echo "check_project.sh: $way, $kind: $1" >&2
    exit 1
}

rm -rf "$work"
mkdir -p "$work"
case $way in
cmake)
    cmake -S "$here" -B "$work" -DCMAKE_PREFIX_PATH="$prefix" -DKIND="$kind" -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_C_FLAGS="-Wall -Wextra -Wpedantic -Werror" -DCMAKE_CXX_FLAGS="-Wall -Wextra -Wpedantic -Werror" >"$work/log" 2>&1 &&
        cmake --build "$work" >>"$work/log" 2>&1 || { cat "$work/log" >&2; fail "the project does not build"; }
    ;;
pkg-config)
    # What pkg-config prints is cut at spaces: a prefix with one gets a name without.
    alias=$(mktemp -d)
    trap 'rm -rf "$alias"' EXIT
    ln -s "$prefix" "$alias/onebit"
    prefix=$alias/onebit
    PKG_CONFIG_PATH=$(find "$prefix/" -name onebit.pc -path '*/pkgconfig/*' -printf %h | head -n 1)
    [ -n "$PKG_CONFIG_PATH" ] || fail "there is no onebit.pc below $prefix"
    export PKG_CONFIG_PATH
    for name in onebit onebit-train; do
        pkg-config --exact-version="$(sed -n 's/^Version: //p' "$PKG_CONFIG_PATH/$name.pc")" $name || fail "pkg-config does not take $name.pc"
        if pkg-config --static --libs $name | grep -q vulkan; then fail "$name.pc asks for Vulkan, which is found at run time"; fi
    done
    link() { # COMPILER MODULE OUTPUT FLAGS...: -Bstatic takes the archives where shared libraries lie beside them
        compiler=$1 module=$2 output=$3
        shift 3
        case $kind in
        static) libraries=$(pkg-config --static --libs "$module" | sed 's/-lonebit[_a-z]*/-Wl,-Bstatic & -Wl,-Bdynamic/g') ;;
        shared) libraries="$(pkg-config --libs "$module") -Wl,-rpath,$(pkg-config --variable=libdir onebit)" ;;
        esac
        # shellcheck disable=SC2046,SC2086 # words
        $compiler -Wall -Wextra -Wpedantic -Werror "$@" $(pkg-config --cflags "$module") $libraries -o "$work/$output"
    }
    link "${CC:-cc}" onebit embed_c -std=c11 "$here/embed.c" || fail "embed.c does not build"
    link "${CXX:-c++}" onebit embed_cpp -std=c++17 "$here/embed.cc" || fail "embed.cc does not build"
    link "${CC:-cc}" onebit-train convert -std=c11 "$here/convert.c" || fail "convert.c does not build"
    ;;
*) fail "cmake or pkg-config" ;;
esac

# Linked as asked for.
for program in embed_c embed_cpp convert; do
    needs=$(readelf -d "$work/$program" | grep -c 'NEEDED.*\[libonebit.so.0\]' || true)
    case $kind in
    shared) [ "$needs" = 1 ] || fail "$program is not linked to libonebit.so.0" ;;
    static) [ "$needs" = 0 ] || fail "$program is linked to libonebit.so.0" ;;
    esac
    if readelf -d "$work/$program" | grep -q 'NEEDED.*vulkan'; then fail "$program is linked to the Vulkan loader"; fi
done

prompt="Once upon a time"
wanted=$("$run" -m "$models/stories-onebit.gguf" -p "$prompt" -n 8 --temp 0 --ids 2>"$work/err") || { cat "$work/err" >&2; fail "onebit-run-vk failed"; }
[ "$(echo "$wanted" | wc -w)" -gt 8 ] || fail "onebit-run-vk printed '$wanted'"
for program in embed_c embed_cpp; do
    got=$("$work/$program" "$models/stories-onebit.gguf" "$prompt") || fail "$program failed"
    [ "$got" = "$wanted" ] || fail "$program generates '$got', onebit-run-vk '$wanted'"
done
(cd "$work" && ./convert "$models/stories-teacher.gguf" converted.gguf >convert.out) || fail "convert failed"
[ "$(head -c 4 "$work/converted.gguf")" = GGUF ] || fail "convert wrote no model"
echo "$way, $kind: built, and 8 tokens are those of onebit-run-vk: $wanted"
