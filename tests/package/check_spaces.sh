#!/bin/sh
# The build knows of folders with a space in their name: configures the project from one into another, and runs the command of one file,
# to which all options of a layer's files go. (CI's own folders have none.)
#
#   check_spaces.sh SOURCE CMAKE NINJA
set -eu

source=$1 cmake=$2 ninja=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/one folder"
ln -s "$source" "$work/one folder/source"
cd "$work/one folder"
"$cmake" -S "$work/one folder/source" -B "$work/one folder/build" -G Ninja -DCMAKE_MAKE_PROGRAM="$ninja" -DONEBIT_BUILD_TESTS=OFF \
    >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
object=CMakeFiles/onebit_gpu.dir/runtime/gpu/volk_unit.c.o
command=$("$ninja" -C build -t commands "$object" | tail -n 1)
case $command in *"one folder/source"*) ;; *) echo "check_spaces.sh: the source's folder is not in: $command" >&2; exit 1 ;; esac
mkdir -p build/CMakeFiles/onebit_gpu.dir/runtime/gpu
(cd build && sh -c "$command") || { echo "check_spaces.sh: this command does not do: $command" >&2; exit 1; }
[ -s "build/$object" ] || { echo "check_spaces.sh: $object was not made" >&2; exit 1; }
echo "compiled from and into a folder with a space in its name"
