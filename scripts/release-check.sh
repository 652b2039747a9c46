#!/usr/bin/env bash
# Checks what a release would hand out: shared and static libraries, what they export, their binary interface, an installed tree, the Debian
# packages, and the source tarball built without a shader compiler. Prints a summary; exit code 0: all of it is right.
#
#   scripts/release-check.sh [--accept-abi] [--without-tarball]
#
#   --accept-abi        write docs/abi/*.abi from this build instead of comparing
#   --without-tarball   leave out the build of the tarball, the longest part
#
# Works in build/package and build/release-check. The tarball is of HEAD, the rest of the tree as it lies here.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

accept=0 tarball=1
for argument in "$@"; do
    case $argument in
    --accept-abi) accept=1 ;;
    --without-tarball) tarball=0 ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) onebit_fail "unknown option $argument (see scripts/release-check.sh --help)"; exit 2 ;;
    esac
done
cd "$onebit_root"
root=$PWD build=$PWD/build/package work=$PWD/build/release-check jobs=$(nproc)
rm -rf "$work"
mkdir -p "$work"
onebit_packages+=(abigail-tools dpkg-dev fakeroot lintian xz-utils)

passed=() failed=()
check() # NAME COMMAND...: runs it, notes how it ended and what its last line said
{
    local name=$1 begin=$SECONDS status=0
    shift
    onebit_say "==== $name"
    ("$@") >"$work/log" 2>&1 || status=$?
    cat "$work/log"
    if [ "$status" -eq 0 ]; then passed+=("$name: $(tail -n 1 "$work/log") ($((SECONDS - begin)) s)"); else failed+=("$name"); fi
}

lavapipe()
{
    local manifest
    for manifest in {/usr/share,/usr/local/share,/etc}/vulkan/icd.d/lvp_icd*.json; do
        if [ -f "$manifest" ]; then echo "$manifest"; return 0; fi
    done
}
compile() # SOURCE BUILD OPTIONS...
{
    cmake -S "$1" -B "$2" -G Ninja --log-level=WARNING "${@:3}" && cmake --build "$2" -j "$jobs" | tail -n 1
}
same_bytes() # DIRECTORY DIRECTORY: the files of both
{
    (cd "$1" && sha256sum -- *) >"$work/first" && (cd "$2" && sha256sum -- *) >"$work/second" && diff "$work/first" "$work/second"
}

check_abi()
{
    local library file=docs/abi
    if [ "$(uname -m)" != x86_64 ]; then echo "not compared: docs/abi is of x86-64"; return 0; fi
    for library in onebit onebit_train; do
        abidw --suppressions $file/public.suppr --exported-interfaces-only --drop-private-types --headers-dir include --no-corpus-path \
            --no-comp-dir-path --no-show-locs --type-id-style hash "$build/lib/lib$library.so.0" >"$work/lib$library.abi" || return 1
        if [ "$accept" -eq 1 ]; then cp "$work/lib$library.abi" $file; fi
        abidiff --no-show-locs $file/lib$library.abi "$work/lib$library.abi" ||
            { echo "lib$library differs from docs/abi; if that is meant: scripts/release-check.sh --accept-abi"; return 1; }
    done
    echo "as in docs/abi, $(grep -ch '<function-decl' $file/*.abi | paste -sd+ | bc 2>/dev/null || echo all) functions"
}

check_install() # WAY KIND: somebody else's project against the installed tree, which was moved after it was installed
{
    "$root/tests/package/check_project.sh" "$1" "$2" "$work/moved" "$build/apps/onebit-run-vk" "$root/models" "$work/project-$1-$2"
}

check_deb()
{
    local i deb content tree=$work/tree libraries
    export SOURCE_DATE_EPOCH
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
    for i in 1 2; do
        mkdir -p "$work/deb$i"
        (cd "$work/deb$i" && cpack --config "$build/CPackConfig.cmake" -B "$work/staging$i" >../cpack.log 2>&1 && mv "$work/staging$i"/*.deb .) ||
            { cat "$work/cpack.log"; return 1; }
    done
    same_bytes "$work/deb1" "$work/deb2" || { echo "two runs gave different packages"; return 1; }
    for content in libonebit0:lib/.*/libonebit.so.0 libonebit0:lib/.*/libonebit_train.so.0 libonebit-dev:lib/.*/libonebit.a \
        libonebit-dev:include/onebit/onebit.h libonebit-dev:lib/.*/pkgconfig/onebit.pc libonebit-dev:share/man/man3/onebit.3.gz \
        onebit-tools:bin/onebit-run-vk onebit-tools:share/man/man1/onebit-run-vk.1.gz onebit-train:bin/onebit-train-vk; do
        deb=$(echo "$work/deb1/${content%%:*}"_*.deb)
        dpkg-deb -c "$deb" >"$work/list"
        grep -q "usr/${content#*:}\( \|$\)" "$work/list" || { echo "${content#*:} is not in $deb"; return 1; }
        dpkg-deb -x "$deb" "$tree" || return 1
    done
    dpkg-deb -f "$work"/deb1/libonebit0_*.deb Depends >"$work/list"
    grep -q libvulkan1 "$work/list" && grep -q libpcre2 "$work/list" || { echo "libonebit0 depends on: $(cat "$work/list")"; return 1; }
    # There is no address that a bug would be mailed to.
    lintian --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog --fail-on error "$work"/deb1/*.deb || return 1
    if grep -rlF "$root" "$tree"; then echo "these name a directory of the build"; return 1; fi
    libraries=$(dirname "$(find "$tree" -name libonebit.so.0)")
    LD_LIBRARY_PATH=$libraries "$tree/usr/bin/onebit-run-vk" -m "$tree/usr/share/onebit/models/stories-onebit.gguf" -p "Once upon a time" \
        -n 8 --temp 0 || return 1
    LD_LIBRARY_PATH=$libraries "$tree/usr/bin/onebit-train-vk" --version || return 1
    echo "$(find "$work/deb1" -name '*.deb' | wc -l) packages, the same bytes twice, lintian finds no error, the programs run from them"
}

check_tarball()
{
    local program wanted got tools=$work/tools
    mkdir -p "$work/tar1" "$work/tar2" "$tools"
    scripts/source-tarball.sh "$build" "$work/tar1" && scripts/source-tarball.sh "$build" "$work/tar2" &&
        same_bytes "$work/tar1" "$work/tar2" || { echo "two runs gave different tarballs"; return 1; }
    tar -x -f "$work"/tar1/*.tar.xz -C "$work" || return 1
    for program in /usr/bin/*; do # all but the shader compilers
        case ${program##*/} in glslang* | glslc | spirv-*) ;; *) ln -s "$program" "$tools" ;; esac
    done
    PATH=$tools compile "$(echo "$work"/onebit-*.*)" "$work/from-tarball" -DCMAKE_BUILD_TYPE=Release -DONEBIT_BUILD_TESTS=OFF -DONEBIT_MPI=OFF \
        -DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF -DCMAKE_INCLUDE_PATH=/usr/include -DCMAKE_C_COMPILER=/usr/bin/cc || return 1
    grep -q 'GLSLANG:.*NOTFOUND' "$work/from-tarball/CMakeCache.txt" || { echo "a shader compiler was found after all"; return 1; }
    wanted=$("$build/apps/onebit-run-vk" -m models/stories-onebit.gguf -p "Once upon a time" -n 8 --temp 0 --ids 2>/dev/null)
    got=$("$work/from-tarball/apps/onebit-run-vk" -m models/stories-onebit.gguf -p "Once upon a time" -n 8 --temp 0 --ids 2>/dev/null)
    [ -n "$got" ] && [ "$got" = "$wanted" ] || { echo "the program of the tarball generates '$got', not '$wanted'"; return 1; }
    # A kernel that was changed must be compiled.
    echo "// changed" >>"$(echo "$work"/onebit-*.*)/shaders/act/relu_fwd.comp"
    if PATH=$tools cmake -S "$(echo "$work"/onebit-*.*)" -B "$work/changed" -G Ninja -DONEBIT_BUILD_TESTS=OFF -DONEBIT_MPI=OFF \
        -DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF -DCMAKE_INCLUDE_PATH=/usr/include -DCMAKE_C_COMPILER=/usr/bin/cc >"$work/changed.log" 2>&1 ||
        ! grep -q 'the kernels were changed' "$work/changed.log"; then
        echo "words of other kernels than those in the tree were taken"
        return 1
    fi
    echo "the same bytes twice ($(du -k "$work"/tar1/*.tar.xz | cut -f 1) KiB), built without a shader compiler, the same text"
}

onebit_setup_packages
icd=$(lavapipe)
[ -n "$icd" ] || { onebit_fail "lavapipe is not installed"; exit 1; }
export VK_ICD_FILENAMES=$icd VK_DRIVER_FILES=$icd ONEBIT_CACHE_DIR=$work/cache MESA_SHADER_CACHE_DIR=$work/shaders
mkdir -p "$work/shaders"

check "configuration" cmake --preset package --log-level=WARNING
check "build" sh -c "cmake --build --preset package -j $jobs | tail -n 1"
if [ ${#failed[@]} -gt 0 ]; then exit 1; fi
check "exported names" tests/package/check_symbols.sh include "$build/lib"
check "binary interface" check_abi
check "installation" sh -c "cmake --install '$build' --prefix '$work/first' >/dev/null && mv '$work/first' '$work/moved' &&
    ! grep -rlIF -e '$root' '$work/moved' && echo 'no text in it names the build'"
for kind in shared static; do
    for way in cmake pkg-config; do check "a project by $way, $kind" check_install $way $kind; done
done
check "Debian packages" check_deb
if [ "$tarball" -eq 1 ]; then check "source tarball" check_tarball; fi

onebit_say "==== summary, in all $SECONDS s"
printf 'passed  %s\n' "${passed[@]}"
if [ ${#failed[@]} -gt 0 ]; then
    printf 'FAILED  %s (see above)\n' "${failed[@]}"
    exit 1
fi
