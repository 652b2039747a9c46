#!/usr/bin/env bash
# Makes the source tarball of a release: what git has at HEAD, and the kernels' SPIR-V, so that it builds without a shader compiler. The same
# commit and the same shader compiler give the same bytes.
#
#   scripts/source-tarball.sh BUILD [DIRECTORY]
#
# BUILD is a build tree of this very commit, whose kernels are compiled; the tarball goes to DIRECTORY, by default BUILD.
set -euo pipefail

case ${1:-} in
"" | -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$(cd "$1" && pwd)
target=$(cd "${2:-$1}" && pwd)
cd "$root"

if [ -n "$(git status --porcelain -- shaders)" ]; then
    echo "error: shaders/ has changes that are not committed; the words would not belong to the sources" >&2
    exit 1
fi
version=$(sed -n 's/^project(onebit VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
name=onebit-$version
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

git archive --format=tar --prefix="$name/" HEAD | tar -x -C "$work"
mkdir "$work/$name/shaders/spirv"
sed -n 's/^#include "\(.*_[abc]\.h\)"$/\1/p' "$build/shaders/generated/kernel_table.c" | while read -r header; do
    cp "$build/shaders/spirv/$header" "$work/$name/shaders/spirv"
done
cmake -P "$work/$name/shaders/digest.cmake" >"$work/$name/shaders/spirv/sources.sha256"
find "$work/$name" -type d -exec chmod 755 {} +
find "$work/$name" -type f -exec chmod u=rwX,go=rX {} +
tar -c -C "$work" --format=gnu --sort=name --mtime="@$(git log -1 --format=%ct)" --owner=0 --group=0 --numeric-owner "$name" |
    xz -T1 -6 >"$target/$name.tar.xz.making"
mv "$target/$name.tar.xz.making" "$target/$name.tar.xz"
echo "$target/$name.tar.xz"
