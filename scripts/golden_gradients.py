#!/usr/bin/env python3
"""Writes tests/data/gradients: a two-layer model, its 1-bit student, and their gradients by PyTorch's autograd in float64.

Development time only (Debian: apt install python3-torch); the tests read the files and need no Python.
The model is written from the equations of LLaMA and OneBit (arXiv 2402.11295), not from this project's C.
"""
import json, math, os, struct, sys
import torch

torch.manual_seed(7)
D, F, L, H, K, V, S, T = 24, 40, 2, 4, 2, 33, 2, 64
C = D // H
EPS, POST_EPS, THETA = 1e-5, 1e-5, 10000.0
ALPHA, BETA = 1.5, 0.7
ROWS = {"attn_q": (H * C, D), "attn_k": (K * C, D), "attn_v": (K * C, D), "attn_output": (D, H * C),
        "ffn_gate": (F, D), "ffn_up": (F, D), "ffn_down": (D, F)}
HF = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
      "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}


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


def rms(x, w):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + EPS) * w


def rope(x):  # (S,T,heads,C), rotate-half
    half = C // 2
    angle = torch.arange(T, dtype=torch.float64)[:, None] * THETA ** (-2 * torch.arange(half, dtype=torch.float64) / C)[None, :]
    cos, sin = angle.cos()[None, :, None, :], angle.sin()[None, :, None, :]
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def linear(p, name, x, onebit):
    w = p[name + ".weight"]
    if not onebit:
        return x @ w.T
    y = ((x * p[name + ".input_factor"]) @ Sign.apply(w).T) * p[name + ".weight_scale"]
    mean = y.mean(-1, keepdim=True)
    return (y - mean) / torch.sqrt(((y - mean) ** 2).mean(-1, keepdim=True) + POST_EPS)


def forward(p, ids, onebit):
    x = p["token_embd.weight"][ids]
    hidden = []
    mask = torch.full((T, T), -math.inf, dtype=torch.float64).triu(1)
    for i in range(L):
        b = f"blk.{i}."
        n = rms(x, p[b + "attn_norm.weight"])
        q = rope(linear(p, b + "attn_q", n, onebit).view(S, T, H, C)).transpose(1, 2)
        k = rope(linear(p, b + "attn_k", n, onebit).view(S, T, K, C)).transpose(1, 2).repeat_interleave(H // K, 1)
        v = linear(p, b + "attn_v", n, onebit).view(S, T, K, C).transpose(1, 2).repeat_interleave(H // K, 1)
        a = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(C) + mask, -1) @ v
        x = x + linear(p, b + "attn_output", a.transpose(1, 2).reshape(S, T, H * C), onebit)
        n = rms(x, p[b + "ffn_norm.weight"])
        g, u = linear(p, b + "ffn_gate", n, onebit), linear(p, b + "ffn_up", n, onebit)
        x = x + linear(p, b + "ffn_down", torch.nn.functional.silu(g) * u, onebit)
        hidden.append(x)
    return rms(x, p["output_norm.weight"]) @ p["token_embd.weight"].T, hidden


def next_token_loss(p, ids):
    logits, _ = forward(p, ids, False)
    return torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, V), ids[:, 1:].reshape(-1))


def distillation(p, teacher, ids):
    with torch.no_grad():
        t_logits, t_hidden = forward(teacher, ids, False)
    logits, hidden = forward(p, ids, True)
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


def main():
    out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "data", "gradients")
    os.makedirs(out, exist_ok=True)
    normal = lambda *shape, sd=1.0: single(torch.randn(*shape, dtype=torch.float64) * sd)
    teacher = {"token_embd.weight": normal(V, D, sd=0.5), "output_norm.weight": 1 + normal(D, sd=0.1)}
    for i in range(L):
        teacher[f"blk.{i}.attn_norm.weight"] = 1 + normal(D, sd=0.1)
        teacher[f"blk.{i}.ffn_norm.weight"] = 1 + normal(D, sd=0.1)
        for name, shape in ROWS.items():
            teacher[f"blk.{i}.{name}.weight"] = normal(*shape, sd=0.3)
    teacher = {k: single(v).requires_grad_() for k, v in teacher.items()}
    student = {k: v.detach().clone() for k, v in teacher.items()}
    for i in range(L):
        for name, (m, n) in ROWS.items():
            student[f"blk.{i}.{name}.input_factor"] = single(0.5 + torch.rand(n, dtype=torch.float64))
            student[f"blk.{i}.{name}.weight_scale"] = single(0.5 + torch.rand(m, dtype=torch.float64))
            student[f"blk.{i}.{name}.weight"] = normal(m, n, sd=0.6)
    student = {k: v.requires_grad_() for k, v in student.items()}
    ids = torch.randint(0, V, (S, T))

    loss = next_token_loss(teacher, ids)
    loss.backward()
    kl, cos = distillation(student, teacher, ids)
    (ALPHA * kl + BETA * cos).backward()

    hf = {"model.embed_tokens.weight": teacher["token_embd.weight"], "model.norm.weight": teacher["output_norm.weight"]}
    for i in range(L):
        hf[f"model.layers.{i}.input_layernorm.weight"] = teacher[f"blk.{i}.attn_norm.weight"]
        hf[f"model.layers.{i}.post_attention_layernorm.weight"] = teacher[f"blk.{i}.ffn_norm.weight"]
        for name, theirs in HF.items():
            hf[f"model.layers.{i}.{theirs}.weight"] = teacher[f"blk.{i}.{name}.weight"]
    save(os.path.join(out, "weights.safetensors"), hf)
    with open(os.path.join(out, "model.safetensors.index.json"), "w") as f:
        json.dump({"weight_map": {name: "weights.safetensors" for name in hf}}, f, indent=1)
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": D, "intermediate_size": F, "num_hidden_layers": L,
                   "num_attention_heads": H, "num_key_value_heads": K, "vocab_size": V, "max_position_embeddings": T, "rms_norm_eps": EPS,
                   "rope_theta": THETA, "tie_word_embeddings": True, "hidden_act": "silu", "torch_dtype": "float32"}, f, indent=1)
    golden = {"ids": ids.to(torch.float64), "losses": torch.tensor([loss.item(), kl.item(), cos.item(), ALPHA, BETA], dtype=torch.float64)}
    for k, v in teacher.items():
        golden["dense." + k] = v.grad
    for k, v in student.items():
        golden["student." + k] = v
        golden["onebit." + k] = v.grad
    save(os.path.join(out, "golden.safetensors"), golden)
    print("next-token loss %.9f, KL %.9f, hidden %.9f" % (loss, kl, cos), file=sys.stderr)


main()
