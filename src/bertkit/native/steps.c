/* What happens to rows between products: bias and activation, LayerNorm, codes for the next product, embeddings.
 *
 * Compiled once for AVX2 and once for AVX-512. A row's result depends on nothing but the row.
 */
#include <float.h>
#include <math.h>

#include "simd.h"

extern void NAME(attend)(const Head *, char *, Place);

/* GELU is x / 2 + |x| g(|x|) in both its forms, with g rising from 0 to 1/2: Phi(x) - 1/2, or tanh(...) / 2. */
#ifdef __AVX512F__
/* A table of 32 cubics, looked up in registers: within 2e-7 of g, less work than one exponential. */
static float cubics[2][4][32];
static const float reach = 5.5f; /* g is 1/2 from here on */

__attribute__((constructor)) static void fill_cubics(void) {
    for (int form = 0; form < 2; form++) {
        for (int i = 0; i < 32; i++) {
            double t[4], d[4];
            for (int n = 0; n < 4; n++) { /* through the four Chebyshev points of the interval, where t runs from 0 to 1 */
                t[n] = 0.5 + 0.5 * cos((2 * n + 1) * M_PI / 8);
                double x = (i + t[n]) * reach / 32;
                d[n] = form ? 0.5 * tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)) : 0.5 * erf(x * M_SQRT1_2);
            }
            for (int order = 1; order < 4; order++) /* Newton's divided differences */
                for (int n = 3; n >= order; n--) d[n] = (d[n] - d[n - 1]) / (t[n] - t[n - order]);
            double c[4] = {d[3], 0, 0, 0};
            for (int n = 2; n >= 0; n--) { /* to powers of t: c <- c (t - t[n]) + d[n] */
                for (int power = 3; power > 0; power--) c[power] = c[power - 1] - t[n] * c[power];
                c[0] = d[n] - t[n] * c[0];
            }
            for (int power = 0; power < 4; power++) cubics[form][power][i] = (float)c[power];
        }
        for (int power = 0; power < 4; power++) cubics[form][power][31] = power ? 0 : 0.5f; /* exactly, for all above */
    }
}

/* The table of a form in eight registers. */
typedef struct {
    vf low[4], high[4];
} Gelu;
INLINE Gelu gelu_of(int form) {
    Gelu g;
#pragma GCC unroll 4
    for (int power = 0; power < 4; power++)
        g.low[power] = load(cubics[form][power]), g.high[power] = load(cubics[form][power] + 16);
    return g;
}

INLINE vf gelu(vf x, int form, const Gelu *table) {
    (void)form;
    vf size = absolute(x);
    vf t = _mm512_min_ps(_mm512_mul_ps(size, all(32 / 5.5f)), all(31.999998f));
    vi i = _mm512_cvttps_epi32(t);
    t = _mm512_sub_ps(t, _mm512_cvtepi32_ps(i));
#define CUBIC(power) _mm512_permutex2var_ps(table->low[power], i, table->high[power])
    vf g = fma_(fma_(fma_(CUBIC(3), t, CUBIC(2)), t, CUBIC(1)), t, CUBIC(0));
    return fma_(size, g, _mm512_mul_ps(x, all(0.5f)));
}
#else
/* erf by Abramowitz and Stegun 7.1.26 (within 1.5e-7), tanh by an exponential. */
typedef int Gelu;
INLINE Gelu gelu_of(int form) { return form; }

INLINE vf gelu(vf x, int form, const Gelu *table) {
    (void)table;
    vf size = absolute(x), g;
    if (form) {
        vf u = V(mul_ps)(fma_(V(mul_ps)(size, V(mul_ps)(size, size)), all(0.044715f), size), all(-1.5957691216f));
        g = V(sub_ps)(V(div_ps)(all(1.0f), V(add_ps)(all(1.0f), exp_of(u))), all(0.5f));
    } else {
        vf z = V(mul_ps)(size, all(0.70710678f));
        vf t = V(div_ps)(all(1.0f), fma_(z, all(0.3275911f), all(1.0f)));
        vf p = fma_(all(1.061405429f), t, all(-1.453152027f));
        p = fma_(p, t, all(1.421413741f));
        p = fma_(p, t, all(-0.284496736f));
        p = fma_(p, t, all(0.254829592f));
        vf tail = V(mul_ps)(V(mul_ps)(p, t), exp_of(V(mul_ps)(V(mul_ps)(z, z), all(-1.0f))));
        g = fma_(tail, all(-0.5f), all(0.5f));
    }
    return fma_(size, g, V(mul_ps)(x, all(0.5f)));
}
#endif

INLINE void put(Place to, int row, int column, vf v) {
    if (to.floats) store((float *)(to.floats + row * to.float_stride) + column, v);
    if (to.codes) store_bf16((uint16_t *)(to.codes + row * to.code_stride) + column, v);
}

/* What VL neighbouring outputs have in common for all rows. */
typedef struct {
    vf scale, bias;
    vi sums;
} Outputs;

INLINE Outputs outputs_of(const int whole, const Linear *linear, int output) {
    Outputs o = {V(setzero_ps)(), linear->bias ? load(linear->bias + output) : V(setzero_ps)(), V(set1_epi32)(0)};
    if (whole) o.scale = load(linear->scale + output), o.sums = load_i(linear->sums + output);
    return o;
}

INLINE vf scaled(const int whole, const Outputs *o, const void *sums, int place, const RowScale *row) {
    if (!whole) return V(add_ps)(load((const float *)sums + place), o->bias);
    vi sum = V(sub_epi32)(load_i((const int32_t *)sums + place), V(mullo_epi32)(V(set1_epi32)(row->zero), o->sums));
    return fma_(V(cvtepi32_ps)(sum), V(mul_ps)(all(row->scale), o->scale), o->bias);
}

/* Column by column of vectors, so that what belongs to outputs is loaded once for all rows. */
INLINE void finish_as(const int whole, const int activation, const Linear *linear, int panel, const void *sums, int rows,
                      const RowScale *scales, const char *residual, size_t residual_stride, Place to) {
    const int form = activation == GELU_TANH || activation == GEGLU_TANH;
    const Gelu table = gelu_of(form);
    const int columns = activation >= GEGLU ? PANEL / 2 : PANEL;
    for (int i = 0; i < columns; i += VL) {
        const Outputs outputs = outputs_of(whole, linear, panel * PANEL + i);
        const Outputs gates = outputs_of(whole, linear, panel * PANEL + (activation >= GEGLU ? i + 16 : i));
        for (int r = 0; r < rows; r++) {
            const RowScale *row = whole ? scales + r : NULL;
            vf v = scaled(whole, &outputs, sums, r * PANEL + i, row);
            if (activation == GELU || activation == GELU_TANH) v = gelu(v, form, &table);
            if (activation == RELU) v = V(max_ps)(v, V(setzero_ps)());
            if (activation >= GEGLU)
                v = V(mul_ps)(gelu(v, form, &table), scaled(whole, &gates, sums, r * PANEL + i + 16, row));
            if (residual) v = V(add_ps)(v, load((const float *)(residual + r * residual_stride) + i));
            put(to, r, i, v);
        }
    }
}

/* The rows x 32 sums of a panel become outputs at `to`; `residual` (may be NULL) starts there too. */
static void finish(const Linear *linear, int panel, const void *sums, int rows, const RowScale *scales,
                   const char *residual, size_t stride, Place to) {
#define AS(activation)                                                                             \
    case activation:                                                                               \
        if (linear->kind == INT8)                                                                  \
            finish_as(1, activation, linear, panel, sums, rows, scales, residual, stride, to);     \
        else                                                                                       \
            finish_as(0, activation, linear, panel, sums, rows, scales, residual, stride, to);     \
        break;
    switch (linear->activation) { AS(IDENTITY) AS(GELU) AS(GELU_TANH) AS(RELU) AS(GEGLU) AS(GEGLU_TANH) }
}

/* Codes of 8 bits between the row's least and largest value, 0 among them so that it is exact. */
static void quantize_row(const float *x, int width, uint8_t *codes, RowScale *scale) {
    vf least = V(setzero_ps)(), most = V(setzero_ps)();
    for (int i = 0; i < width; i += VL) {
        vf v = load_first(x + i, width - i);
        least = V(min_ps)(least, v), most = V(max_ps)(most, v);
    }
    float low = -max_of(V(sub_ps)(V(setzero_ps)(), least)), high = max_of(most), span = high - low;
    scale->scale = fmaxf(span / 255, 1e-30f); /* rows of zeros have a scale too */
    vf steps = all(1 / scale->scale);
    scale->zero = (int32_t)lrintf(-low * (1 / scale->scale));
    vi zero = V(set1_epi32)(scale->zero);
    for (int i = 0; i < width; i += VL) {
        vi code = V(add_epi32)(V(cvtps_epi32)(V(mul_ps)(load_first(x + i, width - i), steps)), zero);
        store_bytes(codes + i, V(min_epi32)(V(max_epi32)(code, V(set1_epi32)(0)), V(set1_epi32)(255)));
    }
    /* Weights behind the width are zeros, so what these bytes are does not count. */
}

static void encode_row(const float *x, int width, char *codes, int kind, RowScale *scale) {
    if (kind == INT8) {
        quantize_row(x, width, (uint8_t *)codes, scale);
    } else if (kind == BF16) {
        for (int i = 0; i < round_up(width, 32); i += VL)
            store_bf16((uint16_t *)codes + i, load_first(x + i, i < width ? width - i : 0));
    } else if ((const float *)codes != x) {
        for (int i = 0; i < round_up(width, 16); i += VL)
            store((float *)codes + i, load_first(x + i, i < width ? width - i : 0));
    }
}

/* float32 rows to codes. */
static void encode(const char *in, size_t stride, int rows, int width, Place to) {
    for (int r = 0; r < rows; r++)
        encode_row((const float *)(in + r * stride), width, to.codes + r * to.code_stride, to.code_kind,
                   to.scales ? to.scales + r : NULL);
}

/* Two passes: the mean, then the squares around it. `row` may be `x`. Behind the width come zeros up to 32. */
static void norm_row(const float *x, int width, Norm norm, float eps, float *row) {
    vf total = V(setzero_ps)(), squares = V(setzero_ps)();
    for (int i = 0; i < width; i += VL) total = V(add_ps)(total, load_first(x + i, width - i));
    vf mean = all(sum_of(total) / width);
    for (int i = 0; i < width; i += VL) {
        vf d = V(sub_ps)(load_first(x + i, width - i), mean);
        d = keep_first(d, width - i, V(setzero_ps)());
        squares = fma_(d, d, squares);
    }
    vf scale = all(1 / sqrtf(sum_of(squares) / width + eps));
    for (int i = 0; i < round_up(width, 32); i += VL) { /* weight and bias are 0 behind the width */
        vf d = V(mul_ps)(V(sub_ps)(load_first(x + i, i < width ? width - i : 0), mean), scale);
        vf bias = norm.bias ? load(norm.bias + i) : V(setzero_ps)();
        store(row + i, fma_(d, load(norm.weight + i), bias));
    }
}

/* LayerNorm (none where it has no weight) of float32 rows; `to.floats` may be the rows themselves. */
static void norm(const char *in, size_t stride, int rows, int width, Norm norm, float eps, Place to) {
    float spare[round_up(width, 32)];
    for (int r = 0; r < rows; r++) {
        const float *x = (const float *)(in + r * stride);
        if (norm.weight) {
            float *row = to.floats ? (float *)(to.floats + r * to.float_stride) : spare;
            norm_row(x, width, norm, eps, row);
            x = row;
        }
        if (to.codes)
            encode_row(x, width, to.codes + r * to.code_stride, to.code_kind, to.scales ? to.scales + r : NULL);
    }
}

/* Sum of the embeddings of a token and its LayerNorm. */
static void embed(const Model *model, int64_t id, int64_t type, int64_t position, float *row) {
    const int width = model->embedding;
    const float *word = model->words + id * width;
    const float *types = model->types ? model->types + type * width : NULL;
    const float *positions = model->positions ? model->positions + (position + model->position_offset) * width : NULL;
    for (int i = 0; i < round_up(width, 32); i += VL) {
        int left = i < width ? width - i : 0;
        vf v = load_first(word + i, left);
        if (types) v = V(add_ps)(v, load_first(types + i, left));
        if (positions) v = V(add_ps)(v, load_first(positions + i, left));
        store(row + i, v);
    }
    norm_row(row, width, model->embedding_norm, model->eps, row);
}

const Steps NAME(steps) = {finish, norm, encode, embed, NAME(attend)};
