#!/bin/sh
# Installs a build tree into a prefix, moves that elsewhere, and lets check_project.sh use it there by its programs and shared libraries.
# Nothing installed may name a directory of the build.
#
#   check_install.sh SOURCE BUILD WORK
set -eu

source=$1 build=$2 work=$3
here=$(cd "$(dirname "$0")" && pwd)
rm -rf "$work"
mkdir -p "$work"
cmake --install "$build" --prefix "$work/first" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
mv "$work/first" "$work/moved"
for path in "$source" "$build" "$work/first"; do
    if grep -rlF "$path" "$work/moved" >&2; then
        echo "check_install.sh: these name $path" >&2
        exit 1
    fi
done
for name in bin/onebit-run-vk bin/onebit-quant-vk include/onebit/onebit.h share/man/man3/onebit.3; do
    [ -f "$work/moved/$name" ] || { echo "check_install.sh: $name was not installed" >&2; exit 1; }
done
"$here/check_project.sh" pkg-config shared "$work/moved" "$work/moved/bin/onebit-run-vk" "$source/models" "$work/project"
