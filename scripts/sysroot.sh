#!/usr/bin/env bash
# A folder with Debian packages of another architecture, for a cross compiler and an emulator. Nothing of it is installed:
# apt works on lists of its own, and the packages are only unpacked.
#
#   onebit_make_sysroot SUITE ARCHITECTURE DIRECTORY PACKAGE...
#
# Sourced by scripts/test-arm64.sh, after scripts/setup.sh. Does nothing when DIRECTORY holds these packages already.
onebit_make_sysroot()
{
    local suite=$1 architecture=$2 directory=$3 work apt package
    shift 3
    if [ "$(cat "$directory/packages" 2>/dev/null)" = "$suite $architecture $*" ]; then return 0; fi
    rm -rf "$directory"
    work=$(mktemp -d) || return 1 # not under the project: apt's own user may be unable to enter that
    chmod 755 "$work"
    mkdir -p "$directory" "$work"/state/lists/partial "$work"/archives/partial "$work"/empty &&
        touch "$work/status" &&
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main" >"$work/sources.list" || return 1
    if [ "$(id -u)" -eq 0 ] && id _apt >/dev/null 2>&1; then chown -R _apt "$work"; fi
    apt=(apt-get -q -o "APT::Architecture=$architecture" -o "APT::Architectures::=$architecture" -o "APT::Get::List-Cleanup=0"
        -o "Dir::State=$work/state" -o "Dir::State::status=$work/status" -o "Dir::Cache::archives=$work/archives"
        -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=" -o "Dir::Etc::sourcelist=$work/sources.list"
        -o "Dir::Etc::sourceparts=$work/empty" -o "Acquire::Languages=none" -o "Debug::NoLocking=1")
    if ! { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends --download-only "$@"; } >"$work/log" 2>&1; then
        tail -n 20 "$work/log" >&2
        rm -rf "$work"
        return 1
    fi
    # Where an unpacked package says /lib it means /usr/lib, as on any Debian since 12.
    mkdir -p "$directory/usr/bin" "$directory/usr/sbin" "$directory/usr/lib" &&
        ln -s usr/bin usr/sbin usr/lib "$directory" || return 1
    for package in "$work"/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x -C "$directory" --no-same-owner --keep-directory-symlink || return 1
    done
    rm -rf "$work"
    echo "$suite $architecture $*" >"$directory/packages"
}
