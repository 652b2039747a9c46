#!/bin/sh
# What AMD's compiler makes of every kernel, as a Markdown table: the table of docs/kernels-amd.md.
set -eu

usage() {
    cat <<'END'
usage: scripts/amd-table.sh [--workgroup 64|128] [CHIP]...

  --workgroup N   invocations of a workgroup (default: 64)
  CHIP            names of Mesa's, as RADV_FORCE_FAMILY takes them (default: navi21 gfx1100)

No GPU is needed: Mesa's RADV compiles for a chip that is not there. ONEBIT_TESTS is the directory of test_amd_compile (default:
build/release/tests).
END
}

refuse() {
    echo "amd-table.sh: $1" >&2
    exit "$2"
}

cd "$(dirname "$0")/.."
workgroup=64 chips=
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage; exit 0 ;;
    --workgroup)
        case ${2:-} in 64 | 128) workgroup=$2 ;; *) refuse "--workgroup takes 64 or 128" 2 ;; esac
        shift ;;
    -*) refuse "there is no option $1; --help lists them" 2 ;;
    *[!a-z0-9]*) refuse "'$1' is not the name of a chip like navi21" 2 ;;
    *) chips="$chips $1" ;;
    esac
    shift
done
chips=${chips:-navi21 gfx1100}
program=${ONEBIT_TESTS:-build/release/tests}/test_amd_compile
[ -x "$program" ] || refuse "$program is not built; build it (cmake --build --preset release) or set ONEBIT_TESTS" 1
manifest=
for file in /usr/share/vulkan/icd.d/radeon_icd.*json /usr/local/share/vulkan/icd.d/radeon_icd.*json /etc/vulkan/icd.d/radeon_icd.*json; do
    case $file in *i[36]86*) continue ;; esac
    if [ -z "$manifest" ] && [ -f "$file" ]; then manifest=$file; fi
done
[ -n "$manifest" ] || refuse "Mesa's driver for AMD is not installed; scripts/setup.sh installs it" 1

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for chip in $chips; do
    env -u ONEBIT_TIER VK_ICD_FILENAMES="$manifest" VK_DRIVER_FILES="$manifest" RADV_FORCE_FAMILY="$chip" RADV_DEBUG=shaderstats \
        MESA_SHADER_CACHE_DISABLE=true "$program" >"$results/$chip" 2>"$results/notes" ||
        refuse "$chip: $(cat "$results/$chip" "$results/notes" | grep -v '^ok' | tail -n 3)" 1
    head -n 1 "$results/$chip" | sed "s/^/$chip: /" # the driver and its version
done
echo
# shellcheck disable=SC2086 # words
(cd "$results" && awk -v workgroup="$workgroup" -v chips="$chips" '
    # ok NAME tier A, workgroup 64: 78 instructions, 12 VGPRs, 16 SGPRs, 256 bytes of LDS, 0 spilled, 0 bytes of scratch
    $3 == "tier" && $5 == "workgroup" && $6 == workgroup ":" && $8 ~ /^instructions/ {
        row = $2 " | " substr($4, 1, 1)
        if (!(row in seen)) { seen[row] = 1; rows[++count] = row }
        cell[row, FILENAME] = $7 " | " $9 " | " $11 " | " $13 " | " $17 + $19
        spills += $17 + $19
    }
    END {
        chip_count = split(chips, chip, " ")
        printf "| kernel | tier |"
        for (c = 1; c <= chip_count; c++) printf " %s: instructions | VGPRs | SGPRs | LDS, bytes | spills |", chip[c]
        printf "\n|---|---|"
        for (c = 1; c <= chip_count; c++) printf "---:|---:|---:|---:|---:|"
        printf "\n"
        for (r = 1; r <= count; r++) {
            printf "| %s |", rows[r]
            for (c = 1; c <= chip_count; c++) printf " %s |", (rows[r], chip[c]) in cell ? cell[rows[r], chip[c]] : "| | | |"
            printf "\n"
        }
        printf "\n%d variants with workgroups of %d, spilled registers and bytes of scratch in all: %d.\n", count, workgroup, spills
        exit count == 0
    }' $chips) || refuse "the driver told no statistics" 1
