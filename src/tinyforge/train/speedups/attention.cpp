// Attention for the lengths of everyday training: scores stay in the cache, one head at a time.
//
// One task is one head of one row (with a bias that learns: one head of all rows, so that its
// gradient needs no locks; with grouped queries: all query heads of one key head). Keys and values
// of a head are widened to float once; queries are taken in blocks, and each block looks only at
// the stretch of keys that its mask leaves open. The backward pass computes the probabilities
// again from the logarithm of their sum (FlashAttention, Dao et al. 2022, arXiv:2205.14135).

#include "kernels.cpp"

static const int64_t QUERIES = 32;  // of a block

struct Attention {
    int64_t rows, heads, key_heads, queries, keys, width;
    // Strides in elements: row, head, position. The last axis is contiguous.
    int64_t q[3], k[3], v[3], o[3], go[3], dq[3], dk[3], dv[3];
    const uint8_t *mask;   // 1 where a query may look at a key; null: everywhere
    int64_t mask_stride[4];  // row, head, query, key
    int64_t bias_stride[4];
    int64_t causal;        // a query looks at the keys up to its own place
    int64_t bias_grad;     // a gradient of the bias is wanted: (heads, queries, keys), float
    float scale, keep_scale;
    uint32_t cut, unused;
    uint64_t seed;
};

// C (m x n) = or += A (m x k) B (k x n). A has strides along m and k, so that it may lie
// transposed. n is a multiple of 16, and A and C have room for m rounded up to 4.
template <int R, int V>
static inline void tile(int64_t k, const float *a, int64_t am, int64_t ak, const float *b,
                        int64_t ldb, float *c, int64_t ldc, bool add) {
    v16 s[R][V];
    for (int r = 0; r < R; r++)
        for (int j = 0; j < V; j++) s[r][j] = add ? load(c + r * ldc + 16 * j) : v16{};
    for (int64_t p = 0; p < k; p++) {
        v16 x[V];
        for (int j = 0; j < V; j++) x[j] = load(b + p * ldb + 16 * j);
        for (int r = 0; r < R; r++) {
            float y = a[r * am + p * ak];
            for (int j = 0; j < V; j++) s[r][j] += x[j] * y;
        }
    }
    for (int r = 0; r < R; r++)
        for (int j = 0; j < V; j++) store(c + r * ldc + 16 * j, s[r][j]);
}
static void multiply(int64_t m, int64_t n, int64_t k, const float *a, int64_t am, int64_t ak,
                     const float *b, int64_t ldb, float *c, int64_t ldc, bool add) {
    for (int64_t j = 0; j < n; j += 32) {
        bool two = n - j >= 32;
        for (int64_t i = 0; i < m; i += 4) {
            if (two) tile<4, 2>(k, a + i * am, am, ak, b + j, ldb, c + i * ldc + j, ldc, add);
            else tile<4, 1>(k, a + i * am, am, ak, b + j, ldb, c + i * ldc + j, ldc, add);
        }
    }
}

static inline int64_t up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

template <class T>
static void widen(const T *p, int64_t stride, int64_t count, int64_t width, float *out, int64_t ld) {
    for (int64_t r = 0; r < count; r++)
        for (int64_t i = 0; i < ld; i += 16)
            store(out + r * ld + i, i < width ? load(p + r * stride + i, width - i) : v16{});
}
template <class T>
static void narrow(const float *in, int64_t ld, float scale, int64_t count, int64_t width, T *p,
                   int64_t stride) {
    for (int64_t r = 0; r < count; r++)
        for (int64_t i = 0; i < width; i += 16)
            store(p + r * stride + i, load(in + r * ld + i) * scale, width - i);
}
static void transpose(const float *in, int64_t rows, int64_t columns, int64_t ld, float *out,
                      int64_t ldo) {
    for (int64_t c = 0; c < columns; c++) {
        for (int64_t r = 0; r < rows; r++) out[c * ldo + r] = in[r * ld + c];
        for (int64_t r = rows; r < ldo; r++) out[c * ldo + r] = 0;
    }
}

// The stretch of keys that some query of a block may look at.
struct Stretch {
    int64_t first, last;
};
static Stretch stretch(const Attention &a, int64_t row, int64_t head, int64_t start, int64_t count) {
    Stretch s = {0, a.keys};
    if (a.causal) s.last = std::min(a.keys, start + count);
    if (!a.mask) return s;
    const uint8_t *m = a.mask + row * a.mask_stride[0] + head * a.mask_stride[1];
    auto open = [&](int64_t key) {
        for (int64_t i = start; i < start + count; i++)
            if (m[i * a.mask_stride[2] + key * a.mask_stride[3]]) return true;
        return false;
    };
    while (s.last > s.first && !open(s.last - 1)) s.last--;
    while (s.first < s.last && !open(s.first)) s.first++;
    s.first = s.first / 16 * 16;
    return s;
}

// Scores of a block become what the softmax takes: bias added, closed places at -inf.
template <class T>
static void close(const Attention &a, const T *bias, int64_t row, int64_t head, int64_t start,
                  int64_t count, Stretch keys, float *scores, int64_t ld) {
    const uint8_t *m =
        a.mask ? a.mask + row * a.mask_stride[0] + head * a.mask_stride[1] : nullptr;
    const T *b = bias ? bias + row * a.bias_stride[0] + head * a.bias_stride[1] : nullptr;
    for (int64_t i = 0; i < count; i++) {
        float *s = scores + i * ld;
        int64_t n = keys.last - keys.first, open = n;
        for (int64_t j = 0; j < n; j += 16) store(s + j, load(s + j) * a.scale);
        if (b)
            for (int64_t j = 0; j < n; j++)
                s[j] += get(b + (start + i) * a.bias_stride[2] + (keys.first + j) * a.bias_stride[3]);
        if (m)
            for (int64_t j = 0; j < n; j++)
                if (!m[(start + i) * a.mask_stride[2] + (keys.first + j) * a.mask_stride[3]])
                    s[j] = -INFINITY;
        if (a.causal) open = std::min(n, start + i + 1 - keys.first);
        for (int64_t j = std::max<int64_t>(open, 0); j < up(n, 16); j++) s[j] = -INFINITY;
    }
}

struct Room {  // scratch memory of a thread
    float *kt, *k, *v, *vt, *q, *go, *s, *dp, *out, *dk, *dv;
    explicit Room(const Attention &a, bool backward) {
        size_t keys = size_t(up(a.keys, 32)), width = size_t(up(a.width, 16));
        size_t block = size_t(QUERIES);
        kt = floats(keys * width), v = floats((keys + 4) * width), q = floats(block * width);
        s = floats(block * keys), out = floats(block * width);
        k = vt = go = dp = dk = dv = nullptr;
        if (!backward) return;
        k = floats((keys + 4) * width), vt = floats(keys * width), go = floats(block * width);
        dp = floats(block * keys), dk = floats((keys + 4) * width), dv = floats((keys + 4) * width);
    }
    ~Room() {
        for (float *p : {kt, k, v, vt, q, go, s, dp, out, dk, dv}) free(p);
    }
    Room(const Room &) = delete;
};

static inline uint32_t place(const Attention &a, int64_t row, int64_t head, int64_t query) {
    return uint32_t(((row * a.heads + head) * a.queries + query) * up(a.keys, 16));
}

template <class T>
static void attend(const Attention &a, const T *q, const T *k, const T *v, const T *bias, T *o,
                   float *lse) {
    const int64_t group = a.heads / a.key_heads, width = up(a.width, 16), ld = up(a.keys, 32);
    const int64_t tasks = a.rows * a.key_heads;
#pragma omp parallel
    {
        Room room(a, false);
#pragma omp for schedule(static)
        for (int64_t task = 0; task < tasks; task++) {
            int64_t row = task / a.key_heads, kh = task % a.key_heads;
            widen(k + row * a.k[0] + kh * a.k[1], a.k[2], a.keys, a.width, room.v, width);
            transpose(room.v, a.keys, a.width, width, room.kt, ld);
            widen(v + row * a.v[0] + kh * a.v[1], a.v[2], a.keys, a.width, room.v, width);
            for (int64_t head = kh * group; head < (kh + 1) * group; head++)
                for (int64_t start = 0; start < a.queries; start += QUERIES) {
                    int64_t count = std::min(QUERIES, a.queries - start), m = up(count, 4);
                    const T *from = q + row * a.q[0] + head * a.q[1] + start * a.q[2];
                    widen(from, a.q[2], count, a.width, room.q, width);
                    memset(room.q + count * width, 0, size_t((m - count) * width) * 4);
                    Stretch keys = stretch(a, row, head, start, count);
                    int64_t n = std::max<int64_t>(0, keys.last - keys.first), wide = up(n, 16);
                    multiply(m, wide, a.width, room.q, width, 1, room.kt + keys.first, ld, room.s,
                             ld, false);
                    close(a, bias, row, head, start, count, keys, room.s, ld);
                    for (int64_t i = 0; i < count; i++) {
                        float *s = room.s + i * ld;
                        v16 top = splat(-INFINITY), mass = {};
                        for (int64_t j = 0; j < wide; j += 16) top = max(top, load(s + j));
                        float most = largest(top);
                        if (most == -INFINITY) most = 0;  // a query that may look at nothing
                        for (int64_t j = 0; j < wide; j += 16) {
                            v16 x = load(s + j);
                            x = pick((i16v)(x > -1e30f), expv(x - most), v16{});
                            mass += x;
                            store(s + j, x);
                        }
                        float total = sum(mass), by = total > 0 ? 1 / total : 0;
                        lse[(row * a.heads + head) * a.queries + start + i] =
                            total > 0 ? most + std::log(total) : INFINITY;
                        uint32_t at = place(a, row, head, start + i) + uint32_t(keys.first);
                        for (int64_t j = 0; j < wide; j += 16) {
                            v16 p = load(s + j) * by;
                            if (a.cut) p *= kept(a.seed, at + uint32_t(j), a.cut, a.keep_scale);
                            store(s + j, p);
                        }
                    }
                    for (int64_t i = count; i < m; i++) memset(room.s + i * ld, 0, size_t(wide) * 4);
                    multiply(m, width, n, room.s, ld, 1, room.v + keys.first * width, width,
                             room.out, width, false);
                    narrow(room.out, width, 1.0f, count, a.width,
                           o + row * a.o[0] + head * a.o[1] + start * a.o[2], a.o[2]);
                }
        }
    }
}

// One block of queries of the backward pass; adds to the sums of keys and values in `room`.
template <class T>
static void block_backward(const Attention &a, const T *q, const T *go, const T *bias,
                           const float *lse, T *dq, float *dbias, int64_t row, int64_t head,
                           int64_t start, Room &room) {
    const int64_t width = up(a.width, 16), ld = up(a.keys, 32);
    int64_t count = std::min(QUERIES, a.queries - start), m = up(count, 4);
    widen(q + row * a.q[0] + head * a.q[1] + start * a.q[2], a.q[2], count, a.width, room.q, width);
    widen(go + row * a.go[0] + head * a.go[1] + start * a.go[2], a.go[2], count, a.width, room.go,
          width);
    memset(room.q + count * width, 0, size_t((m - count) * width) * 4);
    memset(room.go + count * width, 0, size_t((m - count) * width) * 4);
    Stretch keys = stretch(a, row, head, start, count);
    int64_t n = std::max<int64_t>(0, keys.last - keys.first), wide = up(n, 16);
    multiply(m, wide, a.width, room.q, width, 1, room.kt + keys.first, ld, room.s, ld, false);
    close(a, bias, row, head, start, count, keys, room.s, ld);
    multiply(m, wide, a.width, room.go, width, 1, room.vt + keys.first, ld, room.dp, ld, false);
    for (int64_t i = 0; i < m; i++) {
        float *s = room.s + i * ld, *dp = room.dp + i * ld;
        if (i >= count) {
            memset(s, 0, size_t(wide) * 4), memset(dp, 0, size_t(wide) * 4);
            continue;
        }
        float log_sum = lse[(row * a.heads + head) * a.queries + start + i];
        uint32_t at = place(a, row, head, start + i) + uint32_t(keys.first);
        v16 delta = {};
        for (int64_t j = 0; j < wide; j += 16) {
            v16 x = load(s + j), p = pick((i16v)(x > -1e30f), expv(x - log_sum), v16{});
            v16 d = load(dp + j);
            if (a.cut) d *= kept(a.seed, at + uint32_t(j), a.cut, a.keep_scale);
            delta += p * d;
            store(s + j, p);
            store(dp + j, d);
        }
        float both = sum(delta);
        for (int64_t j = 0; j < wide; j += 16) {
            v16 p = load(s + j), d = p * (load(dp + j) - both);
            store(dp + j, d);
            if (a.cut) store(s + j, p * kept(a.seed, at + uint32_t(j), a.cut, a.keep_scale));
        }
        if (a.bias_grad) {
            float *to = dbias + (head * a.queries + start + i) * a.keys + keys.first;
            for (int64_t j = 0; j < n; j += 16)
                store(to + j, load(to + j, n - j) + load(dp + j), n - j);
        }
    }
    multiply(n, width, count, room.s, 1, ld, room.go, width, room.dv + keys.first * width, width,
             true);
    multiply(n, width, count, room.dp, 1, ld, room.q, width, room.dk + keys.first * width, width,
             true);
    multiply(m, width, n, room.dp, ld, 1, room.k + keys.first * width, width, room.out, width,
             false);
    narrow(room.out, width, a.scale, count, a.width,
           dq + row * a.dq[0] + head * a.dq[1] + start * a.dq[2], a.dq[2]);
}

template <class T>
static void attend_backward(const Attention &a, const T *q, const T *k, const T *v, const T *bias,
                            const T *go, const float *lse, T *dq, T *dk, T *dv, float *dbias) {
    const int64_t group = a.heads / a.key_heads, width = up(a.width, 16), ld = up(a.keys, 32);
    const int64_t outer = a.bias_grad ? a.key_heads : a.rows * a.key_heads;
    const int64_t inner = a.bias_grad ? a.rows : 1;
#pragma omp parallel
    {
        Room room(a, true);
#pragma omp for schedule(static)
        for (int64_t task = 0; task < outer; task++)
            for (int64_t turn = 0; turn < inner; turn++) {
                int64_t row = a.bias_grad ? turn : task / a.key_heads, kh = task % a.key_heads;
                widen(k + row * a.k[0] + kh * a.k[1], a.k[2], a.keys, a.width, room.k, width);
                widen(v + row * a.v[0] + kh * a.v[1], a.v[2], a.keys, a.width, room.v, width);
                transpose(room.k, a.keys, a.width, width, room.kt, ld);
                transpose(room.v, a.keys, a.width, width, room.vt, ld);
                memset(room.dk, 0, size_t((a.keys + 4) * width) * 4);
                memset(room.dv, 0, size_t((a.keys + 4) * width) * 4);
                for (int64_t head = kh * group; head < (kh + 1) * group; head++)
                    for (int64_t start = 0; start < a.queries; start += QUERIES)
                        block_backward(a, q, go, bias, lse, dq, dbias, row, head, start, room);
                narrow(room.dk, width, a.scale, a.keys, a.width, dk + row * a.dk[0] + kh * a.dk[1],
                       a.dk[2]);
                narrow(room.dv, width, 1.0f, a.keys, a.width, dv + row * a.dv[0] + kh * a.dv[1],
                       a.dv[2]);
            }
    }
}

extern "C" {

#define ATTEND(T)                                                                                  \
    (const Attention *a, const T *q, const T *k, const T *v, const T *bias, T *o, float *lse)
BOTH(attend, ATTEND(float), ATTEND(bf16), attend(*a, q, k, v, bias, o, lse),
     attend(*a, q, k, v, bias, o, lse))

#define ATTEND_BACKWARD(T)                                                                         \
    (const Attention *a, const T *q, const T *k, const T *v, const T *bias, const T *go,           \
     const float *lse, T *dq, T *dk, T *dv, float *dbias)
#define CALL attend_backward(*a, q, k, v, bias, go, lse, dq, dk, dv, dbias)
BOTH(attend_backward, ATTEND_BACKWARD(float), ATTEND_BACKWARD(bf16), CALL, CALL)
#undef CALL

}  // extern "C"
