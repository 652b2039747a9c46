#!/usr/bin/env bash
# Installs what building and testing need. Does only what is missing, so calling it again costs nothing.
#
#   scripts/setup.sh [--without-swiftshader]
#
# Other scripts source this file and call its functions. It uses Debian's package names (Debian 12 or later, Ubuntu
# 24.04 or later); elsewhere it says what to install and goes on. Environment:
#   ONEBIT_DOWNLOAD_DIR   where the SwiftShader driver is kept; default build/cache in the project

onebit_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
onebit_downloads=${ONEBIT_DOWNLOAD_DIR:-$onebit_root/build/cache}
onebit_swiftshader_icd=$onebit_downloads/swiftshader/vk_swiftshader_icd.json
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin # dpkg needs the last two
export PATH

onebit_packages=(
    gcc libc6-dev cmake ninja-build pkg-config               # the compiler and the build
    libvulkan-dev libvulkan-volk-dev glslang-tools spirv-tools # Vulkan headers, shaders
    libutf8proc-dev libpcre2-dev libjansson-dev libxxhash-dev libyaml-dev # tokenizers, importers, checksums, training configs
    libopenmpi-dev openmpi-bin                                # to train with several processes
    libsdl2-dev libpng-dev libstb-dev                         # the sample onebit-scene-vk
    libvulkan1 mesa-vulkan-drivers                            # to run: the loader, lavapipe, AMD's compiler
    libcmocka-dev vulkan-validationlayers g++ mandoc          # to test; g++ compiles the public headers as C++, mandoc reads the manual
)

onebit_say() { printf '%s\n' "$*"; }
onebit_fail() { printf 'error: %s\n' "$*" >&2; return 1; }

# apt-get as root; quiet unless it fails.
onebit_apt()
{
    local sudo=() log status=0
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || return 1
        sudo=(sudo)
    fi
    log=$(mktemp) || return 1
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive PATH="$PATH" apt-get -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then tail -n 20 "$log" >&2; fi
    rm -f "$log"
    return "$status"
}

onebit_setup_packages()
{
    local missing=() package
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        onebit_say "This is not a Debian system: make sure that what these Debian packages hold is installed: ${onebit_packages[*]}"
        return 0
    fi
    for package in "${onebit_packages[@]}"; do
        [[ $(dpkg-query -W -f='${db:Status-Abbrev}\n' "$package" 2>/dev/null) == *ii* ]] || missing+=("$package")
    done
    if [ ${#missing[@]} -eq 0 ]; then return 0; fi
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        onebit_fail "packages are missing and neither root nor sudo is at hand; as root run: apt-get install ${missing[*]}"
        return 1
    fi
    onebit_say "Installing ${missing[*]}"
    # The package lists may be absent (a fresh container) or stale; fetch them only then.
    if onebit_apt install -y --no-install-recommends "${missing[@]}" 2>/dev/null; then return 0; fi
    onebit_apt update || onebit_say "apt-get update failed; trying with the lists that are here" >&2
    onebit_apt install -y --no-install-recommends "${missing[@]}" ||
        onebit_fail "apt-get could not install: ${missing[*]}"
}

# Downloads and unpacks into the directory $1. Explicit &&: bash ignores `set -e` in a function whose status is tested.
onebit_fetch_swiftshader()
{
    local target=$1 files=usr/lib/chromium
    if [ "$(id -u)" -eq 0 ] && id _apt >/dev/null 2>&1; then chown _apt . || return 1; fi
    if ! apt-get -q download chromium-common >log 2>&1; then
        onebit_apt update || true
        apt-get -q download chromium-common >log 2>&1 || { cat log >&2; return 1; }
    fi
    dpkg-deb --fsys-tarfile chromium-common_*.deb >package.tar &&
        tar -x -f package.tar --no-same-owner "./$files/libvk_swiftshader.so" "./$files/vk_swiftshader_icd.json" &&
        rm -rf "$target.new" "$target" && mkdir "$target.new" && cp "$files"/*swiftshader* "$target.new" && mv "$target.new" "$target"
}

# SwiftShader, an independent Vulkan driver on the CPU: two files out of Debian's chromium-common, which is not installed.
onebit_setup_swiftshader()
{
    local directory=${onebit_swiftshader_icd%/*} work status=0
    if [ -s "$directory/libvk_swiftshader.so" ] && [ -s "$onebit_swiftshader_icd" ]; then return 0; fi
    if ! command -v apt-get >/dev/null; then
        onebit_fail "SwiftShader is fetched with apt-get, which is not here; pass --without-swiftshader to test without it"
        return 1
    fi
    onebit_say "Fetching SwiftShader (32 MB, from the package chromium-common)"
    mkdir -p "$onebit_downloads" && directory=$(cd "$onebit_downloads" && pwd)/swiftshader || return 1
    work=$(mktemp -d) || return 1 # not under the project: apt's own user may be unable to enter that
    (cd "$work" && onebit_fetch_swiftshader "$directory") || status=1
    rm -rf "$work"
    if [ "$status" -ne 0 ]; then
        onebit_fail "SwiftShader could not be fetched; check the network, or pass --without-swiftshader to test without it"
        return 1
    fi
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -euo pipefail
    case ${1:-} in
    "") onebit_setup_packages && onebit_setup_swiftshader ;;
    --without-swiftshader) onebit_setup_packages ;;
    *) onebit_fail "usage: scripts/setup.sh [--without-swiftshader]" ;;
    esac
fi
