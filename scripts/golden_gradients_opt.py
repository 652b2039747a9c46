#!/usr/bin/env python3
"""Writes tests/data/gradients_opt: two OPT models of two layers, their 1-bit students, and their gradients by PyTorch's autograd
in float64.

`first` has its norms before each half of a layer, as most of OPT; `last` behind the sums and a narrower embedding, as OPT-350M.
Development time only (Debian: apt install python3-torch); the tests read the files and need no Python.
The model is written from the equations of OPT (arXiv 2205.01068) and OneBit (arXiv 2402.11295), not from this project's C.
"""
import json, math, os, struct, sys
import torch

D, F, L, H, V, S, T = 24, 40, 2, 4, 33, 2, 64
C = D // H
EPS, POST_EPS = 1e-5, 1e-5
ALPHA, BETA = 1.5, 0.7
ROWS = {"attn_q": (D, D), "attn_k": (D, D), "attn_v": (D, D), "attn_output": (D, D), "ffn_up": (F, D), "ffn_down": (D, F)}
HF = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.out_proj",
      "ffn_up": "fc1", "ffn_down": "fc2", "attn_norm": "self_attn_layer_norm", "ffn_norm": "final_layer_norm"}
TOP = {"token_embd": "embed_tokens", "position_embd": "embed_positions", "project_in": "project_in", "project_out": "project_out",
       "output_norm": "final_layer_norm"}


def single(t):
    return t.to(torch.float32).to(torch.float64)  # values that a float32 file holds exactly


class Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, w):
        ctx.save_for_backward(w)
        return torch.where(w < 0, -torch.ones_like(w), torch.ones_like(w))

    @staticmethod
    def backward(ctx, gradient):
        (w,) = ctx.saved_tensors
        return gradient * (1.001 - torch.tanh(w) ** 2)


def layernorm(x, eps):
    mean = x.mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(((x - mean) ** 2).mean(-1, keepdim=True) + eps)


def norm(p, name, x):
    return layernorm(x, EPS) * p[name + ".weight"] + p[name + ".bias"]


def linear(p, name, x, onebit):
    w = p[name + ".weight"]
    if not onebit:
        return x @ w.T + p[name + ".bias"]
    y = ((x * p[name + ".input_factor"]) @ Sign.apply(w).T) * p[name + ".weight_scale"]
    return layernorm(y, POST_EPS) + p[name + ".bias"]


def forward(p, ids, last, onebit):
    x = p["token_embd.weight"][ids]
    if last:
        x = x @ p["project_in.weight"].T
    x = x + p["position_embd.weight"][torch.arange(T) + 2]
    hidden = []
    mask = torch.full((T, T), -math.inf, dtype=torch.float64).triu(1)
    heads = lambda y: y.view(S, T, H, C).transpose(1, 2)
    for i in range(L):
        b = f"blk.{i}."
        n = x if last else norm(p, b + "attn_norm", x)
        q, k, v = (heads(linear(p, b + r, n, onebit)) for r in ("attn_q", "attn_k", "attn_v"))
        a = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(C) + mask, -1) @ v
        x = x + linear(p, b + "attn_output", a.transpose(1, 2).reshape(S, T, D), onebit)
        if last:
            x = norm(p, b + "attn_norm", x)
        n = x if last else norm(p, b + "ffn_norm", x)
        x = x + linear(p, b + "ffn_down", torch.relu(linear(p, b + "ffn_up", n, onebit)), onebit)
        if last:
            x = norm(p, b + "ffn_norm", x)
        hidden.append(x)
    x = x @ p["project_out.weight"].T if last else norm(p, "output_norm", x)
    return x @ p["token_embd.weight"].T, hidden


def next_token_loss(p, ids, last):
    logits, _ = forward(p, ids, last, False)
    return torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, V), ids[:, 1:].reshape(-1))


def distillation(p, teacher, ids, last):
    with torch.no_grad():
        t_logits, t_hidden = forward(teacher, ids, last, False)
    logits, hidden = forward(p, ids, last, True)
    s, t = torch.log_softmax(logits[:, :-1], -1), torch.log_softmax(t_logits[:, :-1], -1)
    kl = (t.exp() * (t - s)).sum(-1).mean()
    unit = lambda h: h / h.norm(dim=-1, keepdim=True)
    cos = sum(((unit(hidden[i]) - unit(t_hidden[i])) ** 2).sum(-1).mean() for i in range(L - 1))
    return kl, cos


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


def make(last):
    torch.manual_seed(11 + last)
    E = 16 if last else D
    normal = lambda *shape, sd=1.0: single(torch.randn(*shape, dtype=torch.float64) * sd)
    teacher = {"token_embd.weight": normal(V, E, sd=0.5), "position_embd.weight": normal(T + 2, D, sd=0.3)}
    norms = [f"blk.{i}.{n}" for i in range(L) for n in ("attn_norm", "ffn_norm")]
    if last:
        teacher["project_in.weight"], teacher["project_out.weight"] = normal(D, E, sd=0.3), normal(E, D, sd=0.3)
    else:
        norms.append("output_norm")
    for name in norms:
        teacher[name + ".weight"], teacher[name + ".bias"] = 1 + normal(D, sd=0.1), normal(D, sd=0.1)
    for i in range(L):
        for name, (m, n) in ROWS.items():
            teacher[f"blk.{i}.{name}.weight"], teacher[f"blk.{i}.{name}.bias"] = normal(m, n, sd=0.3), normal(m, sd=0.1)
    teacher = {k: single(v).requires_grad_() for k, v in teacher.items()}
    student = {k: v.detach().clone() for k, v in teacher.items()}
    for i in range(L):
        for name, (m, n) in ROWS.items():
            student[f"blk.{i}.{name}.input_factor"] = single(0.5 + torch.rand(n, dtype=torch.float64))
            student[f"blk.{i}.{name}.weight_scale"] = single(0.5 + torch.rand(m, dtype=torch.float64))
            student[f"blk.{i}.{name}.weight"] = normal(m, n, sd=0.6)
    student = {k: v.requires_grad_() for k, v in student.items()}
    ids = torch.randint(0, V, (S, T))

    loss = next_token_loss(teacher, ids, last)
    loss.backward()
    kl, cos = distillation(student, teacher, ids, last)
    (ALPHA * kl + BETA * cos).backward()

    here = os.path.dirname(os.path.abspath(__file__))
    out = os.path.join(here, "..", "tests", "data", "gradients_opt", "last" if last else "first")
    os.makedirs(out, exist_ok=True)
    hf = {}
    for name, value in teacher.items():
        stem, suffix = name.rsplit(".", 1)
        if stem in TOP:
            hf[f"model.decoder.{TOP[stem]}.{suffix}"] = value
        else:
            _, i, role = stem.split(".")
            hf[f"model.decoder.layers.{i}.{HF[role]}.{suffix}"] = value
    save(os.path.join(out, "weights.safetensors"), hf)
    with open(os.path.join(out, "model.safetensors.index.json"), "w") as f:
        json.dump({"weight_map": {name: "weights.safetensors" for name in hf}}, f, indent=1)
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump({"architectures": ["OPTForCausalLM"], "model_type": "opt", "hidden_size": D, "ffn_dim": F, "num_hidden_layers": L,
                   "num_attention_heads": H, "vocab_size": V, "max_position_embeddings": T, "word_embed_proj_dim": E,
                   "do_layer_norm_before": not last, "tie_word_embeddings": True, "activation_function": "relu", "enable_bias": True,
                   "layer_norm_elementwise_affine": True, "torch_dtype": "float32"}, f, indent=1)
    golden = {"ids": ids.to(torch.float64), "losses": torch.tensor([loss.item(), kl.item(), cos.item(), ALPHA, BETA], dtype=torch.float64)}
    for k, v in teacher.items():
        golden["dense." + k] = v.grad
    for k, v in student.items():
        if k not in teacher or k.endswith(tuple(name + ".weight" for name in ROWS)):
            golden["student." + k] = v
        golden["onebit." + k] = v.grad
    save(os.path.join(out, "golden.safetensors"), golden)
    print("%s: next-token loss %.9f, KL %.9f, hidden %.9f" % ("last" if last else "first", loss, kl, cos), file=sys.stderr)


make(False)
make(True)
