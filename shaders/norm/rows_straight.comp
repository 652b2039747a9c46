#version 450
#extension GL_GOOGLE_include_directive : require
// RMSNorm and LayerNorm, forward and backward, for software drivers (common/straight.glsl): one chunk of columns of each row.
// Statistics of a row are made chunk by chunk first, then the results.
//   step 0  stats.x = sum of a^2                          step 1  out = a r w, r = 1 / sqrt(stats.x / n + eps)
//   step 2  stats.xy = sums of a^2, of w b a              step 3  out (+)= r (w b - a r^2 stats.y / n)
//   step 4  stats.xyzw = mean of a less the row's first element, sum of squares of a - mean, mean of b,
//           sum of (a - mean) (b - its mean); for LayerNorm's forward b is a
//   step 5  out = (a - mean) r, r = 1 / sqrt(stats.y / n + eps)
//   step 6  out = r ((b - its mean) - (a - mean) r^2 stats.w / n)
// a: the norm's input; b: the gradient of its output; formulas as in rmsnorm_bwd and layernorm_bwd.
//
// b0 w  stats (rows, 8) or out (rows, columns)
// push: obi_push_rows      spec 0: workgroup, 128      spec 1: step      spec 2: columns of the chunk, a multiple of 8 up to 256
// grid: x = rows / 16, y = chunks side by side (1 in a step that makes stats); below 256 each
// tiers: A
#include "common/rows_straight.glsl"

layout(set = 0, binding = 0) writeonly buffer Result { float result[]; };

void main()
{
    uint row = ob_row(), column = ob_first_column(), at = row * push.columns + column;
    uint64_t a = ob_address(push.a_low, push.a_high) + uint64_t(at) * 4ul, b = ob_address(push.b_low, push.b_high) + uint64_t(at) * 4ul;
    uint64_t w = ob_address(push.w_low, push.w_high) + uint64_t(column) * 4ul;
    uint64_t before = ob_address(push.out_low, push.out_high) + uint64_t(at) * 4ul;
    uint64_t stats = ob_address(push.stats_low, push.stats_high) + uint64_t(row) * 32ul;
    float x = uintBitsToFloat(ob_word(stats, 0u)), y = uintBitsToFloat(ob_word(stats, 1u)), z = uintBitsToFloat(ob_word(stats, 2u)),
          v = uintBitsToFloat(ob_word(stats, 3u));
    float pivot = uintBitsToFloat(ob_word(stats, 4u)); // of LayerNorm: the row's first element, from which all of a is counted
    float n = float(push.columns);
    bool fresh = (push.flags & OB_ROWS_FRESH) != 0u;
    uint keep = (push.flags & OB_ROWS_ACCUMULATE) != 0u ? 0xffffffffu : 0u;

#define STORE_LANE(l) result[at + place + uint(l)] = subgroupShuffle(value, uint(l));
#define STORE(formula) { uint place = i * 8u; float value = formula; EACH8(STORE_LANE) }

    if (OB_STEP == 0u) {
        float squares = 0.0;
        OB_CHUNK {
            float p = OB_EIGHT(a, i);
            squares += p * p;
        }
        squares = ob_lanes_sum(squares);
        result[row * 8u] = fresh ? squares : x + squares;
    } else if (OB_STEP == 1u) {
        float r = 1.0 / sqrt(x / n + push.eps);
        OB_CHUNK STORE(OB_EIGHT(a, i) * r * OB_EIGHT(w, i))
    } else if (OB_STEP == 2u) {
        float squares = 0.0, products = 0.0;
        OB_CHUNK {
            float p = OB_EIGHT(a, i);
            squares += p * p;
            products += OB_EIGHT(w, i) * OB_EIGHT(b, i) * p;
        }
        squares = ob_lanes_sum(squares);
        products = ob_lanes_sum(products);
        result[row * 8u] = fresh ? squares : x + squares;
        result[row * 8u + 1u] = fresh ? products : y + products;
    } else if (OB_STEP == 3u) {
        float r = 1.0 / sqrt(x / n + push.eps);
        float pull = y / n * r * r;
        OB_CHUNK {
            float old = uintBitsToFloat(ob_eight(before + uint64_t(i * 32u)) & keep);
            STORE(old + r * (OB_EIGHT(w, i) * OB_EIGHT(b, i) - OB_EIGHT(a, i) * pull))
        }
    } else if (OB_STEP == 4u) {
        // The chunk's own moments, then joined with those of the columns before it.
        float first = uintBitsToFloat(ob_word(a, 0u));
        pivot = fresh ? first : pivot;
        float chunk = float(OB_COLUMNS), earlier = float(column), mean = 0.0, b_mean = 0.0, squares = 0.0, products = 0.0;
        OB_CHUNK {
            mean += OB_EIGHT(a, i) - pivot;
            b_mean += OB_EIGHT(b, i);
        }
        mean = ob_lanes_sum(mean) / chunk;
        b_mean = ob_lanes_sum(b_mean) / chunk;
        OB_CHUNK {
            float d = (OB_EIGHT(a, i) - pivot) - mean;
            squares += d * d;
            products += d * (OB_EIGHT(b, i) - b_mean);
        }
        squares = ob_lanes_sum(squares);
        products = ob_lanes_sum(products);
        float share = chunk / (earlier + chunk), apart = mean - x, b_apart = b_mean - z;
        result[row * 8u] = fresh ? mean : x + apart * share;
        result[row * 8u + 1u] = fresh ? squares : y + squares + apart * apart * earlier * share;
        result[row * 8u + 2u] = fresh ? b_mean : z + b_apart * share;
        result[row * 8u + 3u] = fresh ? products : v + products + apart * b_apart * earlier * share;
        result[row * 8u + 4u] = pivot;
    } else if (OB_STEP == 5u) {
        float r = 1.0 / sqrt(y / n + push.eps);
        OB_CHUNK STORE(((OB_EIGHT(a, i) - pivot) - x) * r)
    } else {
        float r = 1.0 / sqrt(y / n + push.eps);
        float along = v / n * r * r;
        OB_CHUNK STORE(r * ((OB_EIGHT(b, i) - z) - ((OB_EIGHT(a, i) - pivot) - x) * along))
    }
}
