#!/usr/bin/env python3
"""Writes tests/data/ptq/golden.safetensors: GPTQ and OmniQuant by PyTorch in float64, for the tests of quant/ptq.

Development time only (Debian: apt install python3-torch); the tests read the file and need no Python.
Written from the equations (arXiv 2210.17323 and 2308.13137, as docs/methods.md has them), not from this project's C: GPTQ inverts the
Hessian, factorises the inverse and updates all columns behind each one at once; OmniQuant's gradients are autograd's, its scales of inputs (learnable equivalent transformation) among them.
The models are those of tests/data/gradients (LLaMA) and gradients_opt (OPT, norms first and last). Errors are ||W - W'||^2 / ||W||^2 and ||X (W - W')^T||^2 / ||X W^T||^2.
"""
import json, math, os, struct, sys
import numpy, torch

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "data")
ROLES = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
HF = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
      "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
OPT = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.out_proj",
       "ffn_up": "fc1", "ffn_down": "fc2", "attn_norm": "self_attn_layer_norm", "ffn_norm": "final_layer_norm"}
D64 = torch.float64


def load(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    return {k: torch.from_numpy(numpy.frombuffer(data[v["data_offsets"][0]:v["data_offsets"][1]], "<f4").copy()).reshape(v["shape"]).to(D64)
            for k, v in header.items() if k != "__metadata__"}


def save(path, tensors):
    header, data = {}, b""
    for name, t in tensors.items():
        raw = t.detach().to(torch.float32).contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def held(step):
    """Steps as a file holds them: halves whose halves are halves too."""
    fine = torch.round(step.detach() * 2.0 ** 23) * 2.0 ** -23
    half = torch.from_numpy(step.detach().numpy().astype(numpy.float16).astype(numpy.float64))
    return torch.where(step.detach() < 2.0 ** -13, torch.clamp(fine, min=2.0 ** -23), half)


def quantise(w, step, zero, bits):
    return step * (torch.clamp(torch.round(w / step) + zero, 0, 2 ** bits - 1) - zero)


def minmax(w, bits):
    """The grid of each row of w, for round-to-nearest and GPTQ."""
    low, high = torch.clamp(w.amin(1, True), max=0), torch.clamp(w.amax(1, True), min=0)
    nothing = (low == 0) & (high == 0)
    low, high = torch.where(nothing, -torch.ones_like(low), low), torch.where(nothing, torch.ones_like(high), high)
    step = held((high - low) / (2 ** bits - 1))
    return step, torch.round(-low / step)


def gptq(w, h, bits, group=0, natural=False, damping=0.01):
    """w (m,n), h (n,n) = 2/N sum x x^T. Returns the quantised w."""
    m, n = w.shape
    step, zero = minmax(w, bits)
    w, h = w.clone(), h.clone()
    dead = torch.diag(h) == 0
    h[dead, dead] = 1
    w[:, dead] = 0
    order = torch.arange(n) if natural else torch.argsort(-torch.diag(h), stable=True)
    w, h = w[:, order], h[order][:, order]
    h = h + damping * torch.diag(h).mean() * torch.eye(n, dtype=D64)
    r = torch.linalg.cholesky(torch.linalg.inv(h), upper=True)
    out = torch.zeros_like(w)
    for c in range(n):
        if group and c % group == 0:
            step, zero = minmax(w[:, c:c + group], bits)
        out[:, c:c + 1] = quantise(w[:, c:c + 1], step, zero, bits)
        e = (w[:, c] - out[:, c]) / r[c, c]
        w[:, c + 1:] -= e[:, None] * r[c, c + 1:][None, :]
    result = torch.zeros_like(out)
    result[:, order] = out
    return result


class Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.round(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def clipped(w, low_raw, high_raw, bits, group):
    """OmniQuant's W' of ends sigmoid(raw) times the least and the largest weight of each row or group."""
    m, n = w.shape
    parts = []
    for k, first in enumerate(range(0, n, group)):
        part = w[:, first:first + group]
        low = torch.sigmoid(low_raw[:, k:k + 1]) * part.amin(1, True)
        high = torch.sigmoid(high_raw[:, k:k + 1]) * part.amax(1, True)
        step = (high - low) / (2 ** bits - 1)
        step = step + (held(step) - step).detach()
        zero = torch.round(-low / step).detach()
        code = torch.clamp(Round.apply(part / step) + zero, 0, 2 ** bits - 1)
        parts.append(step * (code - zero))
    return torch.cat(parts, 1)


class Layer:
    def __init__(self, model, config, i):
        prefix = f"model.layers.{i}."
        self.c = config
        self.attn_norm, self.ffn_norm = model[prefix + "input_layernorm.weight"], model[prefix + "post_attention_layernorm.weight"]
        self.w = {role: model[f"{prefix}{HF[role]}.weight"] for role in ROLES}

    def norm(self, x, w):
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + self.c["rms_norm_eps"]) * w

    def rope(self, x):
        half = x.shape[-1] // 2
        angle = torch.arange(x.shape[0], dtype=D64)[:, None] * self.c["rope_theta"] ** (-2 * torch.arange(half, dtype=D64) / (2 * half))[None, :]
        cos, sin, a, b = angle.cos()[:, None, :], angle.sin()[:, None, :], x[..., :half], x[..., half:]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    def __call__(self, x, w=None, inputs=None):
        """x (T,D); w: other linears; inputs: a dictionary that gets what goes into each linear."""
        w = w or self.w
        T, heads, kv, size = x.shape[0], self.c["num_attention_heads"], self.c["num_key_value_heads"], self.c["hidden_size"] // self.c["num_attention_heads"]
        n = self.norm(x, self.attn_norm)
        q, k, v = self.rope((n @ w["attn_q"].T).view(T, heads, size)), self.rope((n @ w["attn_k"].T).view(T, kv, size)), (n @ w["attn_v"].T).view(T, kv, size)
        k, v = k.repeat_interleave(heads // kv, 1), v.repeat_interleave(heads // kv, 1)
        scores = torch.einsum("ihc,jhc->hij", q, k) / math.sqrt(size) + torch.full((T, T), -math.inf, dtype=D64).triu(1)
        a = torch.einsum("hij,jhc->ihc", torch.softmax(scores, -1), v).reshape(T, -1)
        x = x + a @ w["attn_output"].T
        f = self.norm(x, self.ffn_norm)
        act = torch.nn.functional.silu(f @ w["ffn_gate"].T) * (f @ w["ffn_up"].T)
        if inputs is not None:
            inputs.update(attn_q=n, attn_k=n, attn_v=n, attn_output=a, ffn_gate=f, ffn_up=f, ffn_down=act)
        return x + act @ w["ffn_down"].T


class OptLayer:
    def __init__(self, model, config, i):
        get = lambda name, what: model[f"model.decoder.layers.{i}.{OPT[name]}.{what}"]
        self.c, self.last = config, not config["do_layer_norm_before"]
        self.w = {role: get(role, "weight") for role in OPT if role not in ("attn_norm", "ffn_norm")}
        self.b = {role: get(role, "bias") for role in OPT}
        self.norms = {role: get(role, "weight") for role in ("attn_norm", "ffn_norm")}

    def norm(self, name, x):
        centred = x - x.mean(-1, keepdim=True)
        return centred / torch.sqrt((centred ** 2).mean(-1, keepdim=True) + 1e-5) * self.norms[name] + self.b[name]

    def __call__(self, x, w=None, inputs=None):
        w = w or self.w
        T, heads, size = x.shape[0], self.c["num_attention_heads"], self.c["hidden_size"] // self.c["num_attention_heads"]
        project = lambda role, y: y @ w[role].T + self.b[role]
        n = x if self.last else self.norm("attn_norm", x)
        q, k, v = (project(role, n).view(T, heads, size) for role in ("attn_q", "attn_k", "attn_v"))
        scores = torch.einsum("ihc,jhc->hij", q, k) / math.sqrt(size) + torch.full((T, T), -math.inf, dtype=D64).triu(1)
        a = torch.einsum("hij,jhc->ihc", torch.softmax(scores, -1), v).reshape(T, -1)
        x = x + project("attn_output", a)
        if self.last:
            x = self.norm("attn_norm", x)
        f = x if self.last else self.norm("ffn_norm", x)
        act = torch.relu(project("ffn_up", f))
        if inputs is not None:
            inputs.update(attn_q=n, attn_k=n, attn_v=n, attn_output=a, ffn_up=f, ffn_down=act)
        x = x + project("ffn_down", act)
        return self.norm("ffn_norm", x) if self.last else x


def hessians(layer, xs):
    sums, count = {}, 0
    for x in xs:
        inputs = {}
        layer(x, inputs=inputs)
        count += x.shape[0]
        for role in layer.w:
            sums[role] = sums.get(role, 0) + inputs[role].T @ inputs[role]
    return {role: 2 / count * h for role, h in sums.items()}


def errors(w, q, h):
    off = w - q
    return [((off * off).sum() / (w * w).sum()).item(), (torch.einsum("ij,jk,ik->", off, h, off) / torch.einsum("ij,jk,ik->", w, h, w)).item()]


def run_gptq(layers, xs, **settings):
    rows = []
    for layer in layers:
        hs = hessians(layer, xs)
        made = {role: gptq(layer.w[role], hs[role], **settings) for role in layer.w}
        rows += [errors(layer.w[role], made[role], hs[role]) for role in layer.w]
        xs = [layer(x, made) for x in xs]
    return torch.tensor(rows, dtype=D64)


SHARED = {"attn_q": 0, "attn_k": 0, "attn_v": 0, "attn_output": 1, "ffn_gate": 2, "ffn_up": 2}  # whose inputs have one scale


def half_inverse(c):
    """1 over the nearest half of 1/c, the gradient passed."""
    return c + (1 / torch.from_numpy((1 / c.detach()).numpy().astype(numpy.float16).astype(numpy.float64)) - c).detach()


def run_omniquant(layers, xs, bits, epochs, augmented, group=0, lr=0.01, let=False, let_lr=0.005):
    exact, rows, losses = [x.clone() for x in xs], [], []
    for layer in layers:
        hs = hessians(layer, xs)
        scales = []
        with torch.no_grad():
            seen = [{} for _ in exact]
            answers, exact = [layer(x) for x in xs], [layer(x, inputs=into) for x, into in zip(exact, seen)]
            for k in range(3) if let else []:
                roles = [role for role in layer.w if SHARED.get(role) == k]
                largest = torch.stack([into[roles[-1]].abs().amax(0) for into in seen]).amax(0)
                weights = torch.stack([layer.w[role].abs().amax(0) for role in roles]).amax(0)
                scales.append(torch.sqrt(largest / weights).requires_grad_())
        ends = {}
        for role in layer.w:
            m, n = layer.w[role].shape
            ends[role] = [torch.full((m, -(-n // (group or n))), 4.0, dtype=D64, requires_grad=True) for _ in range(2)]
        def weights():
            made = {}
            for role, w in layer.w.items():
                c = half_inverse(scales[SHARED[role]]) if let and role in SHARED else 1
                made[role] = clipped(w * c, *ends[role], bits, group or w.shape[1]) / c
            return made
        optimiser = torch.optim.AdamW([{"params": [e for pair in ends.values() for e in pair]}, {"params": scales, "lr": let_lr}],
                                      lr=lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0)
        for epoch in range(epochs):
            total = 0
            for x, target, answer in zip(xs, exact, answers):
                y = layer(x, weights())
                loss = ((y - target) ** 2).mean() + (((y - answer) ** 2).mean() if augmented else 0)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += loss.item() / len(xs)
            if epoch in (0, epochs - 1):
                losses.append(total)
        with torch.no_grad():
            made = weights()
            rows += [errors(layer.w[role], made[role], hs[role]) for role in layer.w]
            xs = [layer(x, made) for x in xs]
    return torch.tensor(rows, dtype=D64), torch.tensor(losses, dtype=D64)


def noise(rows, columns, salt):
    """Numbers of -1 to 1 that C makes alike: a product of 32 bits, its upper 16."""
    i = numpy.arange(rows, dtype=numpy.uint64)[:, None] * numpy.uint64(columns) + numpy.arange(columns, dtype=numpy.uint64)[None, :]
    i = (i + numpy.uint64(salt)) * numpy.uint64(2654435761) & numpy.uint64(0xffffffff)
    i = (i ^ i >> numpy.uint64(15)) * numpy.uint64(2246822519) & numpy.uint64(0xffffffff)
    return torch.from_numpy((i >> numpy.uint64(16)).astype(numpy.float64) / 32768 - 1)


def wide_linear():
    """A linear of 288 inputs, so more than two blocks of columns; inputs that go together, of different sizes, and one that is always 0."""
    m, n, count = 16, 288, 640
    w = noise(m, n, 1)
    x = noise(count, n, 100000) + 2 * noise(count, n // 8, 500000).repeat_interleave(8, 1)
    x = x * (1 + torch.arange(n, dtype=D64) % 5)
    x[:, 7] = 0
    h = 2 / count * x.T @ x
    cases = [dict(bits=2), dict(bits=3, group=64), dict(bits=4, group=256, natural=True), dict(bits=1)]
    return torch.tensor([errors(w, gptq(w, h, **case), h) for case in cases], dtype=D64)


def open_opt(directory):
    """The layers of an OPT model, and what goes into the first."""
    model = load(os.path.join(directory, "weights.safetensors"))
    ids = load(os.path.join(directory, "golden.safetensors"))["ids"].long()
    with open(os.path.join(directory, "config.json")) as f:
        config = json.load(f)
    xs = []
    for window in ids:
        x = model["model.decoder.embed_tokens.weight"][window]
        if "model.decoder.project_in.weight" in model:
            x = x @ model["model.decoder.project_in.weight"].T
        xs.append(x + model["model.decoder.embed_positions.weight"][torch.arange(len(window)) + 2])
    return [OptLayer(model, config, i) for i in range(config["num_hidden_layers"])], xs


def main():
    model = load(os.path.join(HERE, "gradients", "weights.safetensors"))
    ids = load(os.path.join(HERE, "gradients", "golden.safetensors"))["ids"].long()
    with open(os.path.join(HERE, "gradients", "config.json")) as f:
        config = json.load(f)
    layers = [Layer(model, config, i) for i in range(config["num_hidden_layers"])]
    xs = [model["model.embed_tokens.weight"][window] for window in ids]
    golden = {"wide": wide_linear()}
    golden["gptq.w2"] = run_gptq(layers, xs, bits=2)
    golden["gptq.w3g8"] = run_gptq(layers, xs, bits=3, group=8)
    golden["omniquant.w2"], golden["omniquant.w2.losses"] = run_omniquant(layers, xs, bits=2, epochs=40, augmented=True)
    golden["omniquant.w3g8"], golden["omniquant.w3g8.losses"] = run_omniquant(layers, xs, bits=3, epochs=16, augmented=False, group=8)
    for form in ("first", "last"):
        layers, xs = open_opt(os.path.join(HERE, "gradients_opt", form))
        golden[f"opt_{form}.gptq.w2"] = run_gptq(layers, xs, bits=2)
        golden[f"opt_{form}.omniquant.w2"], losses = run_omniquant(layers, xs, bits=2, epochs=10, augmented=True, let=form == "first")
        golden[f"opt_{form}.omniquant.w2.losses"] = losses
    os.makedirs(os.path.join(HERE, "ptq"), exist_ok=True)
    save(os.path.join(HERE, "ptq", "golden.safetensors"), golden)
    for name, t in golden.items():
        print(name, t, sep="\n", file=sys.stderr)


main()
