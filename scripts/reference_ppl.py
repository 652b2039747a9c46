#!/usr/bin/env python3
"""The perplexity of a GGUF model (architecture llama, SentencePiece vocabulary) by a second implementation, by the protocols of the tables.

    scripts/reference_ppl.py MODEL.gguf wikitext2 wiki.test.raw WINDOW [BYTES]
    scripts/reference_ppl.py MODEL.gguf c4 c4-validation.json WINDOW

Development time only (Debian: apt install python3-torch). Reader, tokenizer and forward pass are those of reference_zeroshot.py; lines, draws
and slices are Python's own.
"""
import json, math, random, sys
import torch
from reference_zeroshot import Llama, Tokenizer, read_gguf


def wikitext2(tokenizer, bos, path, window, most):
    text = open(path, "rb").read()[:most].decode("utf-8", "ignore")
    rows = [row if row.strip() else "" for row in text.splitlines(keepends=True)]
    ids = bos + tokenizer.encode("\n\n".join(rows))
    print("%d tokens" % len(ids))
    return [ids[i:i + window] for i in range(0, len(ids) // window * window, window)]


def c4(tokenizer, bos, path, window, most):
    texts = [json.loads(line)["text"] for line in open(path, encoding="utf-8")]
    encoded, out = {}, []
    random.seed(0)
    while len(out) < 256:
        i = random.randint(0, len(texts) - 1)
        if i not in encoded:
            encoded[i] = bos + tokenizer.encode(texts[i])
        if len(encoded[i]) > window:
            at = random.randint(0, len(encoded[i]) - window - 1)
            out.append(encoded[i][at:at + window])
    return out


def main():
    model_path, protocol, path, window = sys.argv[1:5]
    window, most = int(window), int(sys.argv[5]) if len(sys.argv) > 5 else None
    keys, weights = read_gguf(model_path)
    model, tokenizer = Llama(keys, weights), Tokenizer(keys)
    bos = [keys["tokenizer.ggml.bos_token_id"]] if keys.get("tokenizer.ggml.add_bos_token", True) else []
    total = 0.0
    windows = {"wikitext2": wikitext2, "c4": c4}[protocol](tokenizer, bos, path, window, most)
    with torch.no_grad():
        for ids in windows:
            rows = torch.log_softmax(model.forward(ids[:-1]), -1)
            cross_entropy = -float(rows.gather(1, torch.tensor(ids[1:])[:, None]).mean())
            total += cross_entropy * window
    print("%d windows of %d, nll %.9f, ppl %.7f" % (len(windows), window, total / (len(windows) * window),
                                                   math.exp(total / (len(windows) * window))))


if __name__ == "__main__":
    main()
