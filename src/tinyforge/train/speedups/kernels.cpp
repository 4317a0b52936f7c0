// Element-wise work of a training step, one pass over memory each.
//
// Numbers come in as float or bfloat16 and are float inside. Results do not depend on the number
// of threads: sums are taken over fixed blocks, in a fixed order, and random bits are a hash of a
// seed and an element's place. Vectors of 16 floats are a compiler extension of GCC and Clang,
// which lower them to whatever the processor has.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

typedef float v16 __attribute__((vector_size(64)));
typedef int32_t i16v __attribute__((vector_size(64)));
typedef uint32_t u16v __attribute__((vector_size(64)));
typedef uint16_t h16 __attribute__((vector_size(32)));

struct bf16 {
    uint16_t bits;
};

static inline v16 splat(float x) { return v16{} + x; }
static inline float *floats(size_t n) {
    void *p = nullptr;
    if (posix_memalign(&p, 64, std::max<size_t>(n, 16) * sizeof(float))) abort();
    return static_cast<float *>(p);
}

// ---- loads and stores -------------------------------------------------------------------------

static inline v16 load(const float *p) {
    v16 x;
    memcpy(&x, p, 64);
    return x;
}
static inline v16 load(const bf16 *p) {
    h16 h;
    memcpy(&h, p, 32);
    u16v bits = __builtin_convertvector(h, u16v) << 16;
    v16 x;
    memcpy(&x, &bits, 64);
    return x;
}
static inline void store(float *p, v16 x) { memcpy(p, &x, 64); }
static inline void store(bf16 *p, v16 x) {  // rounds to nearest, ties to even; NaN stays NaN
#ifdef __AVX512BF16__
    __m256bh h = _mm512_cvtneps_pbh((__m512)x);
    memcpy(p, &h, 32);
#else
    u16v bits;
    memcpy(&bits, &x, 64);
    u16v rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    u16v is_nan = (u16v)(x != x);
    rounded = (rounded & ~is_nan) | (is_nan & 0x7fc0);
    h16 h = __builtin_convertvector(rounded, h16);
    memcpy(p, &h, 32);
#endif
}
static inline float get(const float *p) { return *p; }
static inline float get(const bf16 *p) {
    uint32_t bits = uint32_t(p->bits) << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
// The last, incomplete vector: `count` elements, zeros behind them.
template <class T> static inline v16 load(const T *p, int64_t count) {
    if (count >= 16) return load(p);
    T part[16] = {};
    memcpy(part, p, size_t(count) * sizeof(T));
    return load(part);
}
template <class T> static inline void store(T *p, v16 x, int64_t count) {
    if (count >= 16) return store(p, x);
    T part[16];
    store(part, x);
    memcpy(p, part, size_t(count) * sizeof(T));
}

static inline float sum(v16 x) {
    float s[16];
    store(s, x);
    for (int w = 8; w; w /= 2)
        for (int i = 0; i < w; i++) s[i] += s[i + w];
    return s[0];
}
static inline float largest(v16 x) {
    float s[16];
    store(s, x);
    float m = s[0];
    for (int i = 1; i < 16; i++) m = std::max(m, s[i]);
    return m;
}
static inline v16 pick(i16v where, v16 yes, v16 no) {
    i16v y, n;
    memcpy(&y, &yes, 64);
    memcpy(&n, &no, 64);
    i16v bits = (y & where) | (n & ~where);
    v16 x;
    memcpy(&x, &bits, 64);
    return x;
}
#ifdef __AVX512F__
static inline v16 max(v16 a, v16 b) { return (v16)_mm512_max_ps((__m512)a, (__m512)b); }
static inline v16 min(v16 a, v16 b) { return (v16)_mm512_min_ps((__m512)a, (__m512)b); }
static inline v16 root(v16 x) { return (v16)_mm512_sqrt_ps((__m512)x); }
static inline i16v nearest(v16 x) { return (i16v)_mm512_cvtps_epi32((__m512)x); }
static inline v16 inverse(v16 x) {  // 14 bits, then one step of Newton's method
    v16 y = (v16)_mm512_rcp14_ps((__m512)x);
    return y * (2.0f - x * y);
}
#else
static inline v16 max(v16 a, v16 b) { return pick((i16v)(a > b), a, b); }
static inline v16 min(v16 a, v16 b) { return pick((i16v)(a < b), a, b); }
static inline v16 root(v16 x) {
    float s[16];
    store(s, x);
    for (int i = 0; i < 16; i++) s[i] = std::sqrt(s[i]);
    return load(s);
}
static inline i16v nearest(v16 x) {
    return __builtin_convertvector(x + pick((i16v)(x < 0.0f), splat(-0.5f), splat(0.5f)), i16v);
}
static inline v16 inverse(v16 x) { return 1.0f / x; }
#endif

// e^x to about 2 units in the last place: x = n ln 2 + r, a polynomial for e^r, then the exponent.
static inline v16 expv(v16 x) {
    x = min(max(x, splat(-87.0f)), splat(88.0f));
    i16v n = nearest(x * 1.44269504f);
    v16 nf = __builtin_convertvector(n, v16);
    v16 r = x - nf * 0.693359375f + nf * 2.12194440e-4f;
    v16 p = splat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    i16v scale = (n + 127) << 23;
    v16 s;
    memcpy(&s, &scale, 64);
    return p * s;
}

// ---- random bits ------------------------------------------------------------------------------

// A 32-bit mix of a seed and an element's place: MurmurHash3's finalizer, keyed twice. What follows
// the second key spreads each of its bits over the upper half, which is the half that is used.
static inline u16v hashed(uint64_t seed, uint32_t place) {
    const u16v lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    u16v x = (lane + place) * 0x9E3779B1u + uint32_t(seed);
    x ^= x >> 16;
    x *= 0x85ebca6bu;
    x ^= x >> 13;
    x += uint32_t(seed >> 32);
    x ^= x >> 16;
    x *= 0xc2b2ae35u;
    x ^= x >> 15;
    x *= 0x2c1b3c6du;
    return x;
}
// `scale` where an element is kept, else 0; it is dropped with probability cut / 2^16.
static inline v16 kept(uint64_t seed, uint32_t place, uint32_t cut, float scale) {
    i16v keep = (i16v)((hashed(seed, place) >> 16) >= cut);
    return pick(keep, splat(scale), v16{});
}

// ---- dropout ----------------------------------------------------------------------------------

static const int64_t BLOCK = 16384;

template <class T>
static void dropout(const T *x, T *y, int64_t n, uint64_t seed, uint32_t cut, float scale) {
    int64_t blocks = (n + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < blocks; b++) {
        int64_t end = std::min(n, (b + 1) * BLOCK);
        for (int64_t i = b * BLOCK; i < end; i += 16)
            store(y + i, load(x + i, end - i) * kept(seed, uint32_t(i), cut, scale), end - i);
    }
}

// ---- RMS norm ---------------------------------------------------------------------------------

// y = x / rms(x) * (weight + shift).
template <class T>
static void norm(const T *x, const T *weight, T *y, float *inverse_rms, int64_t rows,
                 int64_t width, float eps, float shift) {
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        const T *in = x + r * width;
        v16 s = {};
        for (int64_t i = 0; i < width; i += 16) {
            v16 d = load(in + i, width - i);
            s += d * d;
        }
        float by = 1.0f / std::sqrt(sum(s) / float(width) + eps);
        for (int64_t i = 0; i < width; i += 16) {
            int64_t left = width - i;
            v16 o = load(in + i, left) * by * (load(weight + i, left) + shift);
            store(y + r * width + i, o, left);
        }
        inverse_rms[r] = by;
    }
}

// The weight's gradient is summed over 32 fixed groups of rows, then over the groups.
template <class T>
static void norm_backward(const T *grad, const T *x, const T *weight, const float *inverse_rms,
                          T *dx, T *dweight, int64_t rows, int64_t width, float shift) {
    const int64_t groups = 32, padded = (width + 15) / 16 * 16;
    int64_t size = (rows + groups - 1) / groups;
    float *parts = dweight ? floats(size_t(groups * padded)) : nullptr;
#pragma omp parallel for schedule(static)
    for (int64_t g = 0; g < groups; g++) {
        float *dw = parts ? parts + g * padded : nullptr;
        if (dw) memset(dw, 0, size_t(padded) * sizeof(float));
        for (int64_t r = g * size; r < std::min(rows, (g + 1) * size); r++) {
            const T *in = x + r * width, *gr = grad + r * width;
            float by = inverse_rms[r];
            v16 s = {};
            for (int64_t i = 0; i < width; i += 16) {
                int64_t left = width - i;
                v16 go = load(gr + i, left), h = load(in + i, left) * by;
                s += go * (load(weight + i, left) + shift) * h;
                if (dw) store(dw + i, load(dw + i) + go * h);
            }
            float mean = sum(s) / float(width);
            for (int64_t i = 0; i < width; i += 16) {
                int64_t left = width - i;
                v16 gw = load(gr + i, left) * (load(weight + i, left) + shift);
                store(dx + r * width + i, (gw - load(in + i, left) * by * mean) * by, left);
            }
        }
    }
    if (!parts) return;
    for (int64_t i = 0; i < width; i += 16) {
        v16 w = {};
        for (int64_t g = 0; g < groups; g++) w += load(parts + g * padded + i);
        store(dweight + i, w, width - i);
    }
    free(parts);
}

// ---- gated activations ------------------------------------------------------------------------------

// Phi(x) of GELU by Abramowitz and Stegun 7.1.26 (error below 1.5e-7), and its density.
static inline v16 normal_cdf(v16 x, v16 &density) {
    v16 z = pick((i16v)(x < 0.0f), -x, x);
    density = expv(z * z * -0.5f) * 0.3989422804f;
    v16 t = inverse(1.0f + z * (0.3275911f * 0.7071067812f));
    v16 p = splat(1.061405429f);
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    v16 tail = p * t * density * 1.2533141373f;  // erfc(z / sqrt 2) / 2
    return pick((i16v)(x < 0.0f), tail, 1.0f - tail);
}
static inline v16 sigmoid(v16 x) { return inverse(1.0f + expv(-x)); }

enum { GELU = 0, GELU_TANH = 1, SILU = 2 };

// f(x) and f'(x).
template <int kind> static inline v16 activated(v16 x, v16 &slope) {
    if (kind == GELU) {
        v16 density, cdf = normal_cdf(x, density);
        slope = cdf + x * density;
        return x * cdf;
    }
    if (kind == GELU_TANH) {  // (1 + tanh u) / 2 is the sigmoid of 2u
        v16 u = (x + x * x * x * 0.044715f) * 1.5957691216f, s = sigmoid(u);
        slope = s + x * s * (1.0f - s) * (1.0f + x * x * 0.134145f) * 1.5957691216f;
        return x * s;
    }
    v16 s = sigmoid(x);
    slope = s * (1.0f + x * (1.0f - s));
    return x * s;
}

// y = f(x) * other.
template <int kind, class T>
static void gated(const T *x, const T *other, T *y, int64_t n) {
    int64_t blocks = (n + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < blocks; b++) {
        int64_t end = std::min(n, (b + 1) * BLOCK);
        for (int64_t i = b * BLOCK; i < end; i += 16) {
            v16 slope, o = activated<kind>(load(x + i, end - i), slope);
            store(y + i, o * load(other + i, end - i), end - i);
        }
    }
}
template <int kind, class T>
static void gated_backward(const T *grad, const T *x, const T *other, T *dx, T *dother, int64_t n) {
    int64_t blocks = (n + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < blocks; b++) {
        int64_t end = std::min(n, (b + 1) * BLOCK);
        for (int64_t i = b * BLOCK; i < end; i += 16) {
            int64_t left = end - i;
            v16 slope, g = load(grad + i, left), o = activated<kind>(load(x + i, left), slope);
            store(dother + i, g * o, left);
            store(dx + i, g * load(other + i, left) * slope, left);
        }
    }
}

// ---- softmax and cross-entropy ----------------------------------------------------------------

// Logits become their gradient of the summed loss; `losses` one number a row.
template <class T>
static void cross_entropy(T *logits, const int64_t *wanted, float *losses, int64_t rows,
                          int64_t vocabulary, float scale, float smoothing) {
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        T *z = logits + r * vocabulary;
        v16 m = splat(-3e38f), all = {};
        int64_t full = vocabulary / 16 * 16;
        for (int64_t i = 0; i < full; i += 16) {
            v16 x = load(z + i) * scale;
            m = max(m, x);
            all += x;
        }
        float top = largest(m), total = sum(all), mass;
        for (int64_t i = full; i < vocabulary; i++) {
            float x = get(z + i) * scale;
            top = std::max(top, x);
            total += x;
        }
        v16 s = {};
        for (int64_t i = 0; i < full; i += 16) s += expv(load(z + i) * scale - top);
        mass = sum(s);
        for (int64_t i = full; i < vocabulary; i++) mass += std::exp(get(z + i) * scale - top);
        float lse = top + std::log(mass), right = get(z + wanted[r]) * scale;
        float even = smoothing / float(vocabulary);
        losses[r] = lse - (1 - smoothing) * right - even * total;
        float p_right = std::exp(right - lse);
        for (int64_t i = 0; i < vocabulary; i += 16) {
            int64_t left = vocabulary - i;
            store(z + i, (expv(load(z + i, left) * scale - lse) - even) * scale, left);
        }
        v16 last = splat((p_right - even - (1 - smoothing)) * scale);
        store(z + wanted[r], last, 1);
    }
}

// ---- embedding --------------------------------------------------------------------------------

// Gradient rows that belong to one id are added up: ids are sorted, `order` says where each stood,
// and group u is order[starts[u]] .. order[starts[u + 1] - 1].
template <class T, class S>
static void add_groups(const T *grad, const int64_t *order, const int64_t *starts,
                       const int64_t *target, S *out, int64_t groups, int64_t width, bool add) {
#pragma omp parallel for schedule(dynamic, 8)
    for (int64_t u = 0; u < groups; u++) {
        S *o = out + (target ? target[u] : u) * width;
        for (int64_t i = 0; i < width; i += 16) {
            int64_t left = width - i;
            v16 s = add ? load(o + i, left) : v16{};
            for (int64_t k = starts[u]; k < starts[u + 1]; k++)
                s += load(grad + order[k] * width + i, left);
            store(o + i, s, left);
        }
    }
}

// ---- AdamW ------------------------------------------------------------------------------------

struct Tensor {  // one weight: float32 master, its bfloat16 copy or null, gradient, moments
    float *master;
    bf16 *copy;
    const void *grad;
    float *first, *second;
    int64_t count;
    int64_t grad_is_bf16;
    // Learning rate over the first moment's correction; learning rate times weight decay; the
    // inverse root of the second moment's correction.
    float rate, decay, inverse_root, unused;
};
struct Rates {
    float beta1, beta2, rest1, rest2, eps, clip;  // rest: 1 - beta, rounded once only
};

static inline v16 gradient(const Tensor &t, int64_t i, int64_t left) {
    return t.grad_is_bf16 ? load(static_cast<const bf16 *>(t.grad) + i, left)
                          : load(static_cast<const float *>(t.grad) + i, left);
}
static inline void adam(float *w, bf16 *copy, float *m, float *v, v16 g, int64_t left,
                        const Rates &r, const Tensor &t) {
    v16 x = load(w, left), a = load(m, left), b = load(v, left);
    g *= r.clip;
    a += (g - a) * r.rest1;
    b = b * r.beta2 + g * g * r.rest2;
    x -= x * t.decay;
    x -= a * t.rate / (root(b) * t.inverse_root + r.eps);
    store(w, x, left);
    store(m, a, left);
    store(v, b, left);
    if (copy) store(copy, x, left);
}

struct Piece {
    const Tensor *tensor;
    int64_t start, end;
};
static std::vector<Piece> pieces(const Tensor *tensors, int64_t count) {
    std::vector<Piece> found;
    for (int64_t t = 0; t < count; t++)
        for (int64_t i = 0; i < tensors[t].count; i += BLOCK)
            found.push_back({tensors + t, i, std::min(tensors[t].count, i + BLOCK)});
    return found;
}

extern "C" {

void tf_adamw(const Tensor *tensors, int64_t count, const Rates *rates) {
    auto all = pieces(tensors, count);
#pragma omp parallel for schedule(static)
    for (int64_t p = 0; p < int64_t(all.size()); p++) {
        const Tensor &t = *all[p].tensor;
        for (int64_t i = all[p].start; i < all[p].end; i += 16) {
            int64_t left = all[p].end - i;
            adam(t.master + i, t.copy ? t.copy + i : nullptr, t.first + i, t.second + i,
                 gradient(t, i, left), left, *rates, t);
        }
    }
}

// Rows that never had a gradient have no moments and stay as they are; `slot` is a row's place in
// the compact gradient, -1 where it has none in this step.
void tf_adamw_rows(const Tensor *tensor, const uint8_t *active, const int32_t *slot, int64_t rows,
                   int64_t width, const Rates *rates) {
    const Tensor &t = *tensor;
    const float *grad = static_cast<const float *>(t.grad);
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        if (!active[r]) continue;
        for (int64_t i = 0; i < width; i += 16) {
            int64_t left = width - i, at = r * width + i;
            v16 g = slot[r] >= 0 ? load(grad + int64_t(slot[r]) * width + i, left) : v16{};
            adam(t.master + at, t.copy ? t.copy + at : nullptr, t.first + at, t.second + at, g,
                 left, *rates, t);
        }
    }
}

// Sum of the squares of all gradients.
double tf_square_sum(const Tensor *tensors, int64_t count) {
    auto all = pieces(tensors, count);
    std::vector<double> sums(all.size());
#pragma omp parallel for schedule(static)
    for (int64_t p = 0; p < int64_t(all.size()); p++) {
        v16 s = {};
        for (int64_t i = all[p].start; i < all[p].end; i += 16) {
            v16 g = gradient(*all[p].tensor, i, all[p].end - i);
            s += g * g;
        }
        sums[p] = double(sum(s));
    }
    double total = 0;
    for (double s : sums) total += s;
    return total;
}

#define BOTH(NAME, PARAMETERS_F, PARAMETERS_H, CALL_F, CALL_H)                                     \
    void tf_##NAME##_f32 PARAMETERS_F { CALL_F; }                                                  \
    void tf_##NAME##_bf16 PARAMETERS_H { CALL_H; }

BOTH(dropout, (const float *x, float *y, int64_t n, uint64_t seed, uint32_t cut, float scale),
     (const bf16 *x, bf16 *y, int64_t n, uint64_t seed, uint32_t cut, float scale),
     dropout(x, y, n, seed, cut, scale), dropout(x, y, n, seed, cut, scale))

#define NORM(T)                                                                                    \
    (const T *x, const T *weight, T *y, float *inverse_rms, int64_t rows, int64_t width,           \
     float eps, float shift)
#define CALL norm(x, weight, y, inverse_rms, rows, width, eps, shift)
BOTH(norm, NORM(float), NORM(bf16), CALL, CALL)
#undef CALL

#define NORM_BACKWARD(T)                                                                           \
    (const T *grad, const T *x, const T *weight, const float *inverse_rms, T *dx, T *dweight,      \
     int64_t rows, int64_t width, float shift)
#define CALL norm_backward(grad, x, weight, inverse_rms, dx, dweight, rows, width, shift)
BOTH(norm_backward, NORM_BACKWARD(float), NORM_BACKWARD(bf16), CALL, CALL)
#undef CALL

#define GATED(T) (const T *x, const T *other, T *y, int64_t n, int32_t kind)
#define CALL                                                                                       \
    kind == GELU        ? gated<GELU>(x, other, y, n)                                        \
    : kind == GELU_TANH ? gated<GELU_TANH>(x, other, y, n)                                   \
                        : gated<SILU>(x, other, y, n)
BOTH(gated, GATED(float), GATED(bf16), CALL, CALL)
#undef CALL

#define GATED_BACKWARD(T)                                                                            \
    (const T *grad, const T *x, const T *other, T *dx, T *dother, int64_t n, int32_t kind)
#define CALL                                                                                       \
    kind == GELU        ? gated_backward<GELU>(grad, x, other, dx, dother, n)                        \
    : kind == GELU_TANH ? gated_backward<GELU_TANH>(grad, x, other, dx, dother, n)                   \
                        : gated_backward<SILU>(grad, x, other, dx, dother, n)
BOTH(gated_backward, GATED_BACKWARD(float), GATED_BACKWARD(bf16), CALL, CALL)
#undef CALL

#define CROSS_ENTROPY(T)                                                                           \
    (T * logits, const int64_t *wanted, float *losses, int64_t rows, int64_t vocabulary,           \
     float scale, float smoothing)
#define CALL cross_entropy(logits, wanted, losses, rows, vocabulary, scale, smoothing)
BOTH(cross_entropy, CROSS_ENTROPY(float), CROSS_ENTROPY(bf16), CALL, CALL)
#undef CALL

#define ADD_GROUPS(T, S)                                                                           \
    (const T *grad, const int64_t *order, const int64_t *starts, const int64_t *target, S *out,    \
     int64_t groups, int64_t width, int32_t add)
#define CALL add_groups(grad, order, starts, target, out, groups, width, add)
BOTH(group_rows, ADD_GROUPS(float, float), ADD_GROUPS(bf16, float), CALL, CALL)
BOTH(add_rows, ADD_GROUPS(float, float), ADD_GROUPS(bf16, bf16), CALL, CALL)
#undef CALL

}  // extern "C"
