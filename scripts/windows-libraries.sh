#!/usr/bin/env bash
# The libraries that Debian does not have for Windows, built from Debian's sources into a folder. Nothing is installed.
#
#   onebit_make_windows_libraries DIRECTORY
#
# Sourced by scripts/test-windows.sh, after scripts/setup.sh. Does nothing when DIRECTORY holds them already.
onebit_windows_sources=(pcre2 utf8proc jansson libyaml cmocka)

onebit_build_for_windows() # SOURCE_DIRECTORY PREFIX OPTION...
{
    local source=$1 prefix=$2
    shift 2
    cmake -S "$source" -B "$source/build-mingw64" -G Ninja "-DCMAKE_TOOLCHAIN_FILE=$onebit_root/scripts/toolchains/mingw64.cmake" \
        "-DONEBIT_SYSROOT=$prefix" "-DCMAKE_INSTALL_PREFIX=$prefix" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
        -DCMAKE_POLICY_DEFAULT_CMP0077=NEW "$@" &&
        cmake --build "$source/build-mingw64" -j "$(nproc)" && cmake --install "$source/build-mingw64"
}

onebit_make_windows_libraries()
{
    local prefix=$1 work apt suite header
    if [ -e "$prefix/complete" ]; then return 0; fi
    # shellcheck disable=SC1091
    suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
    rm -rf "$prefix"
    mkdir -p "$prefix/include" && work=$(mktemp -d) && chmod 755 "$work" && # not under the project: apt's own user may be unable to enter that
        mkdir -p "$work/state/lists/partial" "$work/empty" "$work/sources" &&
        echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main" >"$work/sources.list" || return 1
    if [ "$(id -u)" -eq 0 ] && id _apt >/dev/null 2>&1; then chown -R _apt "$work"; fi
    apt=(apt-get -q -o "Dir::State=$work/state" -o "Dir::Etc::sourcelist=$work/sources.list" -o "Dir::Etc::sourceparts=$work/empty"
        -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=" -o "Acquire::Languages=none" -o "Debug::NoLocking=1")
    onebit_say "Building for Windows: ${onebit_windows_sources[*]}"
    if ! (
        cd "$work/sources" && "${apt[@]}" update && "${apt[@]}" source "${onebit_windows_sources[@]}" &&
        onebit_build_for_windows "$(echo "$PWD"/pcre2-*/)" "$prefix" -DPCRE2_BUILD_PCRE2GREP=OFF -DPCRE2_BUILD_TESTS=OFF -DPCRE2_SUPPORT_JIT=ON &&
        onebit_build_for_windows "$(echo "$PWD"/utf8proc-*/)" "$prefix" -DUTF8PROC_ENABLE_TESTING=OFF &&
        onebit_build_for_windows "$(echo "$PWD"/jansson-*/)" "$prefix" -DJANSSON_BUILD_DOCS=OFF -DJANSSON_WITHOUT_TESTS=ON -DJANSSON_EXAMPLES=OFF &&
        onebit_build_for_windows "$(echo "$PWD"/libyaml-*/)" "$prefix" -DBUILD_TESTING=OFF &&
        onebit_build_for_windows "$(echo "$PWD"/cmocka-*/)" "$prefix" -DWITH_EXAMPLES=OFF -DUNIT_TESTING=OFF -DWITH_STATIC_LIB=ON &&
            rm -r "$prefix"/bin "$prefix"/lib/libcmocka.dll.a &&
            mv "$prefix/lib/libcmocka-static.a" "$prefix/lib/libcmocka.a" &&
            printf '%s\n' 'Name: yaml' 'Description: YAML' 'Version: 0.2.5' "Libs: -L$prefix/lib -lyaml" "Cflags: -I$prefix/include" \
                >"$prefix/lib/pkgconfig/yaml-0.1.pc"
    ) >"$work/log" 2>&1; then
        tail -n 40 "$work/log" >&2
        rm -rf "$work"
        return 1
    fi
    rm -rf "$work"
    # Headers that are the same on every system.
    for header in vulkan vk_video volk.c volk.h xxhash.h; do
        ln -sf "/usr/include/$header" "$prefix/include/" || return 1
    done
    touch "$prefix/complete"
}
