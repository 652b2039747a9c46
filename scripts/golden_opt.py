#!/usr/bin/env python3
"""Writes tests/data/opt: a byte BPE vocabulary with OPT's ids, texts with their ids, and the logits of two tiny OPTs, dense and 1-bit.

Development time only (Debian: apt install python3-torch); the tests read the files and need no Python. The models themselves are not
stored: their weights follow from the names of their tensors (weights_of; tests/opt_model.h makes the same ones).
The forward pass is written from the description of OPT (Zhang et al. 2022) and the names of Hugging Face's OPTForCausalLM, the 1-bit
layer from OneBit (arXiv 2402.11295), neither from this project's C. All in float64.
"""
import json, math, os, re, struct, sys
import torch

TOKENS, VOCABULARY, CONTEXT, LAYERS = 16, 304, 24, 2
# "pre" has the form of OPT-125M, "last" that of OPT-350M. The seeds are the first with which no 1-bit factor lies so near the middle
# between two halves that f32 arithmetic could round it to the other (MARGIN).
MODELS = {"pre": dict(D=48, E=48, H=4, F=80, norm_first=True), "last": dict(D=32, E=20, H=2, F=56, norm_first=False)}
MARGIN = 4e-7
MASK = (1 << 64) - 1


# ---- weights -----------------------------------------------------------------------------------------------------------------------
def uniform(name, count, seed):
    """count numbers of 24 bits in [-1, 1): splitmix64 from the FNV-1a hash of the name."""
    h = 0xcbf29ce484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001b3 & MASK
    out = []
    for i in range(1, count + 1):
        z = (h + seed + i * 0x9e3779b97f4a7c15) & MASK
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9 & MASK
        z = (z ^ z >> 27) * 0x94d049bb133111eb & MASK
        out.append(((z ^ z >> 31) >> 40) / (1 << 23) - 1)
    return torch.tensor(out, dtype=torch.float64)


def tensor(name, shape, seed):
    u = uniform(name, math.prod(shape), seed)
    if name.endswith("layer_norm.weight"):
        w = 1 + 0.3 * u
    elif name.endswith(".bias"):
        w = 0.2 * u
    elif "embed_" in name:
        w = (1.0 if "tokens" in name else 0.5) * u
    else:
        w = 1.7 / math.sqrt(shape[1]) * u
    return w.float().double().reshape(shape)


def weights_of(form, seed):
    D, E, F = form["D"], form["E"], form["F"]
    shapes = {"embed_tokens.weight": (VOCABULARY, E), "embed_positions.weight": (CONTEXT + 2, D)}
    if E != D:
        shapes.update({"project_in.weight": (D, E), "project_out.weight": (E, D)})
    if form["norm_first"]:
        shapes.update({"final_layer_norm.weight": (D,), "final_layer_norm.bias": (D,)})
    for i in range(LAYERS):
        for norm in ("self_attn_layer_norm", "final_layer_norm"):
            shapes.update({f"layers.{i}.{norm}.weight": (D,), f"layers.{i}.{norm}.bias": (D,)})
        for linear, rows, columns in [(f"self_attn.{p}_proj", D, D) for p in ("q", "k", "v", "out")] + [("fc1", F, D), ("fc2", D, F)]:
            shapes.update({f"layers.{i}.{linear}.weight": (rows, columns), f"layers.{i}.{linear}.bias": (rows,)})
    return {name: tensor("model.decoder." + name, shape, seed) for name, shape in shapes.items()}


# ---- forward -----------------------------------------------------------------------------------------------------------------------
def layer_norm(x):
    mean = x.mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(((x - mean) ** 2).mean(-1, keepdim=True) + 1e-5)


def decompose(w):
    """Signs, h and g: the best rank-1 approximation of |W| with h and g of one root mean square, each value a half."""
    u, s, v = torch.linalg.svd(w.abs())
    a, b = u[:, 0].abs() * s[0], v[0].abs()
    balance = ((a * a).mean() / (b * b).mean()) ** 0.25
    a, b = a / balance, b * balance
    for v in (a, b):
        step = 2 ** (torch.floor(torch.log2(v)) - 10)
        if (((v / step) % 1 - 0.5).abs() * step / v).min() < MARGIN:
            return None
    return torch.where(w < 0, -1.0, 1.0).double(), a.half().double(), b.half().double()


def logits(p, form, ids, onebit):
    D, H = form["D"], form["H"]
    C = D // H
    first = form["norm_first"]

    def norm(name, x):
        return layer_norm(x) * p[name + ".weight"] + p[name + ".bias"]

    def linear(name, x):
        if not onebit:
            return x @ p[name + ".weight"].T + p[name + ".bias"]
        signs, h, g = onebit[name]
        return layer_norm((x * g) @ signs.T * h) + p[name + ".bias"]

    x = p["embed_tokens.weight"][ids]
    if form["E"] != D:
        x = x @ p["project_in.weight"].T
    x = x + p["embed_positions.weight"][torch.arange(len(ids)) + 2]
    mask = torch.full((len(ids), len(ids)), -math.inf).triu(1)
    for i in range(LAYERS):
        at = f"layers.{i}."
        y = norm(at + "self_attn_layer_norm", x) if first else x
        q, k, v = (linear(at + f"self_attn.{n}_proj", y).reshape(-1, H, C).transpose(0, 1) for n in "qkv")
        y = torch.softmax(q / math.sqrt(C) @ k.transpose(1, 2) + mask, -1) @ v
        x = x + linear(at + "self_attn.out_proj", y.transpose(0, 1).reshape(-1, D))
        if not first:
            x = norm(at + "self_attn_layer_norm", x)
        y = norm(at + "final_layer_norm", x) if first else x
        x = x + linear(at + "fc2", torch.relu(linear(at + "fc1", y)))
        if not first:
            x = norm(at + "final_layer_norm", x)
    if first:
        x = norm("final_layer_norm", x)
    if form["E"] != D:
        x = x @ p["project_out.weight"].T
    return x @ p["embed_tokens.weight"].T


# ---- tokenizer ---------------------------------------------------------------------------------------------------------------------
def alphabet():
    """GPT-2's visible character for each byte."""
    kept = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    moved = [b for b in range(256) if b not in kept]
    return {**{b: chr(b) for b in kept}, **{b: chr(256 + i) for i, b in enumerate(moved)}}


# GPT-2's pattern for the texts below, whose letters are those of Python's \w less digits and underscore.
WORD = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
CORPUS = "the little girl saw the other little bird there and then the girl said that they'll sing together in the morning " * 2
TEXTS = ["the little bird", "Then they'll sing.", " two  spaces and\ttabs", "girl's 1234 birds!?", "Füße über 日本 🙂", "<s> </s> and <pad>",
         "under_score ... 'tis", "x"]


def symbols(word):
    byte = alphabet()
    return [byte[b] for b in word.encode()]


def merge(parts, pair):
    out = []
    for part in parts:
        if out and (out[-1], part) == pair and not out[-1].endswith("\0"):
            out[-1] = out[-1] + part + "\0"  # not joined again in this pass
        else:
            out.append(part)
    return [part.rstrip("\0") for part in out]


def train(count):
    words = [symbols(word) for word in WORD.findall(CORPUS)]
    merges = []
    while len(merges) < count:
        pairs = {}
        for parts in words:
            for pair in zip(parts, parts[1:]):
                pairs[pair] = pairs.get(pair, 0) + 1
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        words = [merge(parts, best) for parts in words]
    return merges


def encode(text, ids, ranks):
    out = [2]  # OPT begins with </s>
    for special in re.split("(</s>|<pad>)", text):
        if special in ("</s>", "<pad>"):
            out.append(ids[special])
            continue
        for word in WORD.findall(special):
            parts = symbols(word)
            while True:
                pairs = [pair for pair in zip(parts, parts[1:]) if pair in ranks]
                if not pairs:
                    break
                parts = merge(parts, min(pairs, key=ranks.get))
            out += [ids[part] for part in parts]
    return out


# ---- files -------------------------------------------------------------------------------------------------------------------------
def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, t in tensors.items():
        raw = struct.pack(f"<{t.numel()}f", *t.to(torch.float32).flatten().tolist())
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def main():
    directory = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/data/opt")
    os.makedirs(directory, exist_ok=True)
    at = lambda name: os.path.join(directory, name)

    merges = train(40)
    ids = {token: i for i, token in enumerate(["<s>", "<pad>", "</s>", "<unk>"])}
    for token in [alphabet()[b] for b in range(256)] + [a + b for a, b in merges]:
        ids[token] = len(ids)
    with open(at("vocab.json"), "w") as file:
        json.dump(ids, file)
        file.write("\n")
    with open(at("merges.txt"), "w") as file:
        file.write("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    ranks = {pair: i for i, pair in enumerate(merges)}
    with open(at("texts.txt"), "w") as file:
        file.writelines(text + "\n" for text in TEXTS)
    with open(at("ids.txt"), "w") as file:
        file.writelines(" ".join(map(str, encode(text, ids, ranks))) + "\n" for text in TEXTS)

    golden = {}
    for name, form in MODELS.items():
        for seed in range(1000):
            p = weights_of(form, seed)
            onebit = {key[:-7]: decompose(w) for key, w in p.items() if key.endswith(".weight") and ("proj" in key or "fc" in key) and
                      key.startswith("layers.")}
            if None not in onebit.values():
                break
        else:
            sys.exit("no seed leaves the factors far enough from a rounding")
        chosen = ((uniform(name + " ids", TOKENS, 0) + 1) / 2 * VOCABULARY).long()
        golden[name + ".seed"] = torch.tensor([float(seed)])
        golden[name + ".ids"] = chosen
        golden[name + ".float"] = logits(p, form, chosen, None)
        halves = {key: w.half().double() if "embed_" in key or "project_" in key else w for key, w in p.items()}  # as the file has them
        golden[name + ".onebit"] = logits(halves, form, chosen, onebit)
        print(name, "seed", seed, "logits", *(f"{golden[name + kind].std():.3f}" for kind in (".float", ".onebit")))
    write_safetensors(at("golden.safetensors"), golden)


main()
