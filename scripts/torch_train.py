#!/usr/bin/env python3
"""Times a OneBit distillation step in PyTorch on the CPU, in f32: what `onebit-bench-vk train` is measured beside.

A step is: the teacher's forward pass, the 1-bit student's forward and backward pass, KL on the logits plus the cosine
distance of the hidden states, clipping of the gradient's norm, AdamW. Both models are LLaMA-shaped with random weights;
the embedding is also the head, and the student's is frozen. Needs Debian's python3-torch. scripts/bench-train.sh runs
both programs in turn.
"""
import argparse
import json
import math
import os
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


class SignThrough(torch.autograd.Function):
    """sign(W) with 0 counted as positive; backward with OneBit's estimator, 1.001 - tanh(W)^2."""

    @staticmethod
    def forward(context, weight):
        context.save_for_backward(weight)
        return torch.where(weight < 0, -1.0, 1.0)

    @staticmethod
    def backward(context, gradient):
        (weight,) = context.saved_tensors
        return gradient * (1.001 - weight.tanh().square())


class OneBitLinear(nn.Module):
    """y = LayerNorm(((x * g) sign(W)^T) * h)"""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(0.01 * torch.randn(outputs, inputs))
        self.g = nn.Parameter(torch.ones(inputs))
        self.h = nn.Parameter(torch.ones(outputs))

    def forward(self, x):
        product = F.linear(x * self.g, SignThrough.apply(self.weight)) * self.h
        return F.layer_norm(product, self.h.shape)


class RmsNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * self.weight


class Layer(nn.Module):
    def __init__(self, shape, onebit):
        super().__init__()
        linear = OneBitLinear if onebit else lambda inputs, outputs: nn.Linear(inputs, outputs, bias=False)
        width, ffn = shape.hidden, shape.ffn
        self.heads = shape.heads
        self.attention_norm, self.ffn_norm = RmsNorm(width), RmsNorm(width)
        self.query, self.key, self.value, self.output = (linear(width, width) for _ in range(4))
        self.gate, self.up, self.down = linear(width, ffn), linear(width, ffn), linear(ffn, width)

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x, positions, mask):
        normed = self.attention_norm(x)
        query = rotate(self.split(self.query(normed)), positions)
        key = rotate(self.split(self.key(normed)), positions)
        scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1]) + mask
        attended = scores.softmax(-1) @ self.split(self.value(normed))
        x = x + self.output(attended.transpose(1, 2).flatten(2))
        normed = self.ffn_norm(x)
        return x + self.down(F.silu(self.gate(normed)) * self.up(normed))


def rotate(x, positions):
    """Rotary positions on neighbouring pairs."""
    cosine, sine = positions
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), -1).flatten(-2)


class Model(nn.Module):
    def __init__(self, shape, onebit):
        super().__init__()
        self.embedding = nn.Embedding(shape.vocab, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape, onebit) for _ in range(shape.layers))
        self.norm = RmsNorm(shape.hidden)
        self.embedding.weight.requires_grad_(False)
        half = shape.hidden // shape.heads // 2
        angles = torch.outer(torch.arange(shape.seq), 10000.0 ** (-torch.arange(half) / half))
        self.positions = angles.cos(), angles.sin()
        self.mask = torch.full((shape.seq, shape.seq), -math.inf).triu(1)

    def forward(self, tokens):
        x, hidden = self.embedding(tokens), []
        for layer in self.layers:
            x = layer(x, self.positions, self.mask)
            hidden.append(x)
        return F.linear(self.norm(x), self.embedding.weight), hidden


def operations(shape):
    """As `onebit-bench-vk train --help` counts them."""
    linears = shape.layers * (4 * shape.hidden**2 + 3 * shape.hidden * shape.ffn)
    head, attention = shape.vocab * shape.hidden, 2 * shape.layers * shape.seq * shape.hidden
    return shape.batch * shape.seq * (2 * (linears + head) + attention + 6 * linears + 4 * head + 3 * attention)


def blas():
    """The library that multiplies matrices: Debian's PyTorch takes whichever libblas.so.3 is installed."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        paths = {line.split()[-1] for line in maps if "blas" in line or "mkl" in line}
    names = sorted(os.path.basename(os.path.dirname(path)) + "/" + os.path.basename(path) for path in paths)
    fast = [name for name in names if "openblas" in name or "mkl" in name or "blis" in name]
    return (fast or names or ["unknown"])[0], bool(fast)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in dict(hidden=256, layers=6, heads=8, ffn=688, vocab=4096, batch=8, seq=256, steps=5, warmup=1).items():
        parser.add_argument("--" + name, type=int, default=default, help=f"default: {default}")
    parser.add_argument("--threads", type=int, default=2, help="default: 2")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser.parse_args()


def main():
    shape = parse()
    torch.set_num_threads(shape.threads)
    torch.manual_seed(1)
    load = os.getloadavg()[0]
    library, fast = blas()
    if not fast:
        print(f"torch_train.py: PyTorch multiplies with {library}, which is slow; on Debian: apt install libopenblas0-pthread", file=sys.stderr)
    teacher, student = Model(shape, onebit=False), Model(shape, onebit=True)
    trained = [parameter for parameter in student.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=4e-4, betas=(0.9, 0.98), weight_decay=0.01)
    seconds = []
    for step in range(shape.warmup + shape.steps):
        if step == shape.warmup:
            busy = time.process_time()
        tokens = torch.randint(shape.vocab, (shape.batch, shape.seq))
        start = time.perf_counter()
        with torch.no_grad():
            target, target_hidden = teacher(tokens)
        logits, hidden = student(tokens)
        divergence = F.kl_div(logits.log_softmax(-1), target.softmax(-1), reduction="sum") / tokens.numel()
        loss = 20.48 * divergence
        for ours, theirs in zip(hidden[:-1], target_hidden[:-1]):
            loss = loss + (2 - 2 * F.cosine_similarity(ours, theirs, dim=-1)).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        seconds.append(time.perf_counter() - start)
    busy = time.process_time() - busy
    seconds = seconds[shape.warmup:]
    median = statistics.median(seconds)
    result = dict(program="torch_train.py", torch=torch.__version__, threads=torch.get_num_threads(), blas=library, load_average=load,
                  steps=len(seconds), median_ms=1e3 * median, mean_ms=1e3 * statistics.mean(seconds),
                  sd_ms=1e3 * statistics.stdev(seconds) if len(seconds) > 1 else 0.0,
                  cpu_ms=1e3 * busy / len(seconds), tokens_per_second=shape.batch * shape.seq / median, gflops=1e-9 * operations(shape) / median)
    if shape.json:
        print(json.dumps(result))
    else:
        print("{median_ms:.1f} ms/step (mean {mean_ms:.1f}, sd {sd_ms:.1f}), {tokens_per_second:.0f} tokens/s, {gflops:.1f} GFLOP/s, "
              "torch {torch}, {blas}, {threads} threads".format(**result))


if __name__ == "__main__":
    main()
