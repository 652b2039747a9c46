#!/usr/bin/env python3
"""Scores the zero-shot tasks by a second implementation and compares with the log of onebit-eval-vk, item by item.

    onebit-eval-vk zeroshot -m MODEL.gguf --data DIR --log LOG.jsonl
    scripts/reference_zeroshot.py MODEL.gguf DIR LOG.jsonl [--golden FILE --items N]

Development time only (Debian: apt install python3-torch). The model is a GGUF file of architecture llama or onebitllama (one plane
of signs) with a SentencePiece vocabulary.
Everything here is written from the formats and equations, and shares nothing with this project's C: the file's reader, the tokenizer
(joining the neighbours with the best score), the forward pass in float64, the prompts by Python's own strings, every choice by itself.
--golden writes the log-likelihoods of the first N items of each task, for the tests.
"""
import argparse, json, math, os, re, struct, sys
import torch

torch.set_num_threads(1)


# ---- the file --------------------------------------------------------------------------------------------------------
def read_gguf(path):
    data = open(path, "rb").read()
    at = 0

    def take(form):
        nonlocal at
        values = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return values[0]

    def text():
        nonlocal at
        n = take("Q")
        at += n
        return data[at - n:at].decode("utf-8", "surrogateescape")

    forms = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def value(kind):
        if kind == 8:
            return text()
        if kind == 9:
            inner, n = take("I"), take("Q")
            return [value(inner) for _ in range(n)]
        return take(forms[kind])

    assert data[:4] == b"GGUF"
    at = 4
    assert take("I") == 3
    tensors, pairs = take("Q"), take("Q")
    keys = {}
    for _ in range(pairs):
        name = text()
        keys[name] = value(take("I"))
    listed = []
    for _ in range(tensors):
        name = text()
        shape = [take("Q") for _ in range(take("I"))]
        kind, offset = take("I"), take("Q")
        listed.append((name, shape, kind, offset))
    alignment = keys.get("general.alignment", 32)
    start = (at + alignment - 1) // alignment * alignment
    weights = {}
    for name, shape, kind, offset in listed:
        count = math.prod(shape)
        kinds = {0: (torch.float32, 4), 1: (torch.float16, 2), 26: (torch.int32, 4)}
        dtype, size = kinds[kind]
        raw = bytearray(data[start + offset:start + offset + count * size])
        weights[name] = torch.frombuffer(raw, dtype=dtype).reshape(shape[::-1])
        if kind == 26:  # signs: column 32 i + k is bit k of word i, 1 is -1
            bits = weights[name][..., None] >> torch.arange(32, dtype=torch.int32) & 1
            weights[name] = (1 - 2 * bits).reshape(shape[1], -1)
        weights[name] = weights[name].to(torch.float64)
    return keys, weights


# ---- the tokenizer ---------------------------------------------------------------------------------------------------
class Tokenizer:
    def __init__(self, keys):
        assert keys["tokenizer.ggml.model"] == "llama" and keys.get("onebit.tokenizer.kind", "spm") == "spm"
        self.ids = {}
        for i, (piece, kind) in enumerate(zip(keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"])):
            if kind == 1 and piece not in self.ids:
                self.ids[piece] = i
        self.bytes = {p: i for i, p in enumerate(keys["tokenizer.ggml.tokens"]) if re.fullmatch("<0x[0-9A-F]{2}>", p)}
        self.scores = keys["tokenizer.ggml.scores"]
        self.prefix = keys.get("tokenizer.ggml.add_space_prefix", True)

    def encode(self, text):
        if not text:
            return []
        parts = list(((" " if self.prefix else "") + text).replace(" ", "\u2581"))
        while True:
            best, where = None, -1
            for i in range(len(parts) - 1):
                id = self.ids.get(parts[i] + parts[i + 1])
                if id is not None and (best is None or self.scores[id] > best):
                    best, where = self.scores[id], i
            if best is None:
                break
            parts[where:where + 2] = [parts[where] + parts[where + 1]]
        out = []
        for part in parts:
            if part in self.ids:
                out.append(self.ids[part])
            else:
                out += [self.bytes["<0x%02X>" % b] for b in part.encode()]
        return out


# ---- the model -------------------------------------------------------------------------------------------------------
class Llama:
    def __init__(self, keys, weights):
        self.w, get = weights, lambda k: keys[keys["general.architecture"] + "." + k]
        self.post = keys.get("onebit.post_norm", "none") == "layernorm"
        self.post_eps = keys.get("onebit.post_norm_eps", 1e-5)
        self.halves = keys.get("onebit.rope_layout", "pairs") == "half"
        self.layers, self.heads, self.kv = get("block_count"), get("attention.head_count"), get("attention.head_count_kv")
        self.width, self.context = get("embedding_length"), get("context_length")
        self.size, self.eps, self.theta = self.width // self.heads, get("attention.layer_norm_rms_epsilon"), get("rope.freq_base")

    def norm(self, x, w):
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.eps) * w

    def linear(self, n, role, x):
        name = "blk.%d.%s." % (n, role)
        if name + "weight_scale" not in self.w:
            return x @ self.w[name + "weight"].T
        y = (x * self.w[name + "input_factor"]) @ self.w[name + "weight"][:, :x.shape[-1]].T * self.w[name + "weight_scale"]
        return torch.nn.functional.layer_norm(y, y.shape[-1:], eps=self.post_eps) if self.post else y

    def turn(self, x):  # (T, heads, size); pairs (2i, 2i+1) or (i, i + size/2)
        T, half = x.shape[0], self.size // 2
        angle = torch.arange(T, dtype=torch.float64)[:, None] * self.theta ** (-torch.arange(half, dtype=torch.float64) / half)
        c, s = torch.cos(angle)[:, None], torch.sin(angle)[:, None]
        if self.halves:
            a, b = x[..., :half], x[..., half:]
            return torch.cat((a * c - b * s, a * s + b * c), -1)
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack((a * c - b * s, a * s + b * c), -1).reshape(x.shape)

    def forward(self, ids):
        w, T = self.w, len(ids)
        x = w["token_embd.weight"][ids]
        mask = torch.full((T, T), -math.inf, dtype=torch.float64).triu(1)
        for n in range(self.layers):
            y = self.norm(x, w["blk.%d.attn_norm.weight" % n])
            q = self.turn(self.linear(n, "attn_q", y).reshape(T, self.heads, self.size))
            k = self.turn(self.linear(n, "attn_k", y).reshape(T, self.kv, self.size)).repeat_interleave(self.heads // self.kv, 1)
            v = self.linear(n, "attn_v", y).reshape(T, self.kv, self.size).repeat_interleave(self.heads // self.kv, 1)
            a = torch.softmax(torch.einsum("thc,shc->hts", q, k) / math.sqrt(self.size) + mask, -1)
            x = x + self.linear(n, "attn_output", torch.einsum("hts,shc->thc", a, v).reshape(T, -1))
            y = self.norm(x, w["blk.%d.ffn_norm.weight" % n])
            g = self.linear(n, "ffn_gate", y)
            x = x + self.linear(n, "ffn_down", g * torch.sigmoid(g) * self.linear(n, "ffn_up", y))
        return self.norm(x, w["output_norm.weight"]) @ w.get("output.weight", w["token_embd.weight"]).T

    def likelihood(self, context, continuation):
        inputs = (context + continuation)[-(self.context + 1):][:-1]
        rows = torch.log_softmax(self.forward(inputs), -1)[len(inputs) - len(continuation):]
        return float(rows.gather(1, torch.tensor(continuation)[:, None]).sum())


# ---- the tasks -------------------------------------------------------------------------------------------------------
def lines(folder, name):
    return [json.loads(line) for line in open(os.path.join(folder, name), encoding="utf-8")]


def winogrande(folder):
    for d in lines(folder, "winogrande_dev.jsonl"):
        before, after = d["sentence"].split("_", 1)
        yield [(before + d["option%d" % i], " " + after.strip(), d["option%d" % i]) for i in (1, 2)], int(d["answer"]) - 1


def hellaswag(folder):
    def clean(text):
        return re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". ")).replace("  ", " ")

    for d in lines(folder, "hellaswag_val.jsonl"):
        context = clean(d["activity_label"] + ": " + d["ctx_a"] + " " + d["ctx_b"].capitalize())
        yield [(context, " " + clean(e), clean(e)) for e in d["endings"]], int(d["label"])


def piqa(folder):
    labels = [int(line) for line in open(os.path.join(folder, "piqa_valid-labels.lst"))]
    for d, label in zip(lines(folder, "piqa_valid.jsonl"), labels):
        yield [("Question: %s\nAnswer:" % d["goal"], " " + d[s], d[s]) for s in ("sol1", "sol2")], label


def boolq(folder):
    for d in lines(folder, "boolq_val.jsonl"):
        context = "%s\nQuestion: %s?\nAnswer:" % (d["passage"], d["question"])
        yield [(context, " " + a, a) for a in ("no", "yes")], int(str(d["label"]).lower() == "true")


def arc(name):
    def read(folder):
        for d in lines(folder, name):
            choices = d["question"]["choices"]
            gold = [c["label"] for c in choices].index(d["answerKey"])
            yield [("Question: %s\nAnswer:" % d["question"]["stem"], " " + c["text"], c["text"]) for c in choices], gold

    return read


TASKS = {"winogrande": (winogrande, False), "hellaswag": (hellaswag, True), "piqa": (piqa, True), "boolq": (boolq, False),
         "arc_easy": (arc("arc_easy_test.jsonl"), True), "arc_challenge": (arc("arc_challenge_test.jsonl"), True)}


def first_largest(values):
    return max(range(len(values)), key=lambda i: (values[i], -i))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("folder")
    parser.add_argument("log")
    parser.add_argument("--golden")
    parser.add_argument("--items", type=int, default=10)
    o = parser.parse_args()
    keys, weights = read_gguf(o.model)
    model, tokenizer = Llama(keys, weights), Tokenizer(keys)
    theirs = {(r["task"], r["line"]): r for r in map(json.loads, open(o.log)) if "task" in r}
    compared = equal = near = 0
    worst, golden = 0.0, []
    with torch.no_grad():
        for task, (read, normalised) in TASKS.items():
            for line, (choices, gold) in enumerate(read(o.folder), 1):
                row = theirs.get((task, line))
                if row is None:
                    continue
                own = [model.likelihood(tokenizer.encode(a), tokenizer.encode(b)) for a, b, _ in choices]
                if line <= o.items:
                    golden.append({"task": task, "line": line, "gold": gold, "log_likelihood": own})
                difference = max(abs(a - b) for a, b in zip(own, row["log_likelihood"]))
                worst = max(worst, difference)
                choice = first_largest(own)
                by_length = first_largest([v / len(c) for v, (_, _, c) in zip(own, choices)])
                same = (choice, by_length, gold) == (row["choice"], row["choice_norm"], row["gold"])
                compared += 1
                equal += same
                margin = row["margin_norm" if normalised else "margin"]
                if margin < 0.01 or not same:
                    near += margin < 0.01
                    print("%s line %d: margin %.6f nats, %s" % (task, line, margin, "equal" if same else "OTHER"))
            print("%s: %d of %d equal so far, the largest difference of a log-likelihood is %.2g nats" % (task, equal, compared, worst),
                  flush=True)
    print("%d of %d choices (by likelihood and by likelihood per character) equal, %d near ties" % (equal, compared, near))
    if o.golden:
        with open(o.golden, "w") as out:
            for row in golden:
                out.write(json.dumps(row) + "\n")
    sys.exit(compared == 0 or equal != compared)


if __name__ == "__main__":
    main()
