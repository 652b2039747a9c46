"""Times one product of matrices in ggml, the library below llama.cpp, for scripts/compare-products.sh.

usage: ggml_product.py FOLDER BACKEND THREADS TYPE TxMxN SECONDS

FOLDER has ggml's libraries, BACKEND is one of them (libggml-cpu-zen4.so, ...) or `best` for the one that ggml takes for this
processor; TYPE is q1_0, f16, f32, ... A matrix of TYPE, (M,N), times T rows of f32. Prints the median in microseconds of at least 5 products, and as many as fill SECONDS, after half as long for warming up:
ggml's threads wait by turning, and where the scheduler puts two of them on one processor it takes some tenths of a second to part them.
"""
import ctypes
import glob
import os
import random
import statistics
import sys
import time

folder, backend_name, threads, type_name, shape, seconds = sys.argv[1:]
T, M, N = (int(part) for part in shape.split("x"))


class Params(ctypes.Structure):  # struct ggml_init_params of ggml.h
    _fields_ = [("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool)]


base = ctypes.CDLL(os.path.join(folder, "libggml-base.so"), mode=ctypes.RTLD_GLOBAL)
ggml = ctypes.CDLL(glob.glob(os.path.join(folder, "libggml.v*.so"))[0], mode=ctypes.RTLD_GLOBAL)


def function(library, name, result, *arguments):
    found = getattr(library, name)
    found.restype, found.argtypes = result, arguments
    return found


P, I, L, S = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_size_t
init = function(base, "ggml_init", P, Params)
tensor_2d = function(base, "ggml_new_tensor_2d", P, P, I, L, L)
mul_mat = function(base, "ggml_mul_mat", P, P, P, P)
new_graph = function(base, "ggml_new_graph", P, P)
expand = function(base, "ggml_build_forward_expand", None, P, P)
name_of = function(base, "ggml_type_name", ctypes.c_char_p, I)
bytes_of = function(base, "ggml_nbytes", S, P)
allocate = function(base, "ggml_backend_alloc_ctx_tensors", P, P, P)
put = function(base, "ggml_backend_tensor_set", None, P, P, S, S)
compute = function(base, "ggml_backend_graph_compute", I, P, P)
backend_of = function(base, "ggml_backend_dev_init", P, P, ctypes.c_char_p)

if backend_name == "best":
    function(ggml, "ggml_backend_load_all_from_path", None, ctypes.c_char_p)(folder.encode())
elif not function(ggml, "ggml_backend_load", P, ctypes.c_char_p)(os.path.join(folder, backend_name).encode()):
    sys.exit("ggml_product.py: ggml does not take " + backend_name)
wanted = "Vulkan0" if "vulkan" in backend_name else "CPU"
device = function(ggml, "ggml_backend_dev_by_name", P, ctypes.c_char_p)(wanted.encode())
if not device:
    sys.exit("ggml_product.py: ggml has no device " + wanted)
backend = backend_of(device, None)
registry = function(base, "ggml_backend_dev_backend_reg", P, P)(device)
set_threads = function(base, "ggml_backend_reg_get_proc_address", P, P, ctypes.c_char_p)(registry, b"ggml_backend_set_n_threads")
if set_threads:
    ctypes.CFUNCTYPE(None, P, I)(set_threads)(backend, int(threads))

names = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8, "q1_0": 41}  # enum ggml_type; the library confirms it
if name_of(names.get(type_name, 0)) != type_name.encode():
    sys.exit("ggml_product.py: ggml has no type " + type_name + " where it was")
context = init(Params(1 << 20, None, True))
weights, x = tensor_2d(context, names[type_name], N, M), tensor_2d(context, 0, N, T)
graph = new_graph(context)
expand(graph, mul_mat(context, weights, x))
allocate(context, backend)
random.seed(1)
for tensor in (weights, x):
    size = bytes_of(tensor)
    # Bytes below 64: scales of halves and floats that are finite and of no extreme size.
    piece = bytes(random.randrange(64) for _ in range(4096))
    put(tensor, (piece * (size // 4096 + 1))[:size], 0, size)
times = []
begin = time.perf_counter()
while len(times) < 6 or time.perf_counter() < begin + 1.5 * float(seconds):
    start = time.perf_counter()
    if compute(backend, graph) != 0:
        sys.exit("ggml_product.py: ggml failed")
    times.append((start - begin, time.perf_counter() - start))
settled = [took for at, took in times if at > 0.5 * float(seconds)]
print("%.1f" % (1e6 * statistics.median(settled if len(settled) >= 5 else [took for at, took in times[1:]])))
