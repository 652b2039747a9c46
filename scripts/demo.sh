#!/usr/bin/env bash
# The main job, from a bare machine: builds the programs, generates text with a small story model, brings it to 1 bit on the
# GPU (or on the CPU's Vulkan driver where there is none), and generates text with its trained 1-bit student. Nothing is
# downloaded but Debian packages: both models are in models/.
#
#   scripts/demo.sh [MODEL] [--tokenizer FILE] [--text FILE] [--prompt TEXT] [--device D]
#
#   MODEL      a model of your own instead: a Hugging Face directory, a GGUF file or a llama2.c .bin file; it has no student
#   --text     a text to measure the models on; its first 16 KiB are used. By default a held-out one in
#              $ONEBIT_TEST_DATA, by default ../shared/data beside the project, where that is there
# Files are written to build/demo.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

model= tokenizer= text= prompt="Once upon a time" device=
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    --tokenizer | --text | --prompt | --device)
        if [ $# -lt 2 ]; then onebit_fail "$1 needs a value" || exit 2; fi
        printf -v "${1#--}" %s "$2"
        shift ;;
    -*) onebit_fail "unknown option $1 (see scripts/demo.sh --help)" || exit 2 ;;
    *) model=$1 ;;
    esac
    shift
done

data=${ONEBIT_TEST_DATA:-$onebit_root/../shared/data}
student=
if [ -z "$model" ]; then
    model=$onebit_root/models/stories-teacher.gguf student=models/stories-onebit.gguf
    if [ -z "$text" ] && [ -r "$data/text/tinystories_valid_head.txt" ]; then text=$data/text/tinystories_valid_head.txt; fi
fi
# Paths are the caller's; the rest runs in the project's root.
for name in model tokenizer text; do
    if [ -n "${!name}" ] && [ ! -r "${!name}" ]; then onebit_fail "${!name} cannot be read" || exit 5; fi
    if [ -n "${!name}" ]; then printf -v "$name" %s "$(realpath -- "${!name}")"; fi
done

cd "$onebit_root"
onebit_setup_packages
mkdir -p build/demo
onebit_say "Building (the log is in build/demo/build.log)"
if ! { cmake --preset release && cmake --build --preset release -j "$(nproc)" -t onebit-quant-vk onebit-run-vk onebit-eval-vk onebit-train-vk; } >build/demo/build.log 2>&1; then
    tail -n 30 build/demo/build.log >&2
    onebit_fail "the build failed" || exit 1
fi

title() { printf '\n==== %s\n' "$*"; }
run() # PROGRAM ARGUMENTS...: shows the command, then runs it
{
    local command=("build/release/apps/$1" "${@:2}" ${device:+--device "$device"})
    printf '$'
    printf ' %q' "${command[@]}"
    printf '\n'
    "${command[@]}"
}
import=("$model" ${tokenizer:+--tokenizer "$tokenizer"})

title "1. The model as it is, in 32-bit floats"
run onebit-quant-vk "${import[@]}" -o build/demo/float.gguf --form f32
run onebit-run-vk -m build/demo/float.gguf -p "$prompt" -n 120 --temp 0
echo

title "2. The same model in 1 bit: each weight a sign, two scale vectors per layer (SVID)"
run onebit-quant-vk "${import[@]}" -o build/demo/onebit.gguf --form onebit

title "3. Text from it, before training"
onebit_say "Signs and scales alone do not keep a model's skill: before training (knowledge distillation) the text is unreadable."
run onebit-run-vk -m build/demo/onebit.gguf -p "$prompt" -n 60 --temp 0
echo

models=(build/demo/float.gguf build/demo/onebit.gguf)
if [ -n "$student" ]; then
    title "4. Text from the 1-bit student, trained by onebit-train-vk (models/README.md)"
    run onebit-run-vk -m "$student" -p "$prompt" -n 120 --temp 0
    echo
    models+=("$student")
fi
if [ -n "$text" ]; then
    title "All measured on the same text: how surprised they are by each next token (lower is better)"
    head -c 16384 -- "$text" >build/demo/text.txt
    for name in "${models[@]}"; do run onebit-eval-vk ppl -m "$name" -f build/demo/text.txt -c 256; done
fi
title "Done. The files are in build/demo:"
ls -l build/demo/*.gguf ${student:+"$student"}
