/* Softmax attention of one head of one sequence: both products by the loops of `blocks.c` and `amx.c`.
 *
 * Keys are packed as a panel's outputs, values as a panel's inputs; queries take the scale of the scores with them. The
 * softmax is not divided by its sum until the context is written.
 */
#include <float.h>
#include <math.h>

#include "simd.h"

/* A row of queries or keys as codes, turned by its position where there are rotary positions. */
INLINE void take_row(const Head *head, const float *x, int place, float scale, char *codes) {
    const int size = head->size, half = size / 2;
    float turned[round_up(size, 32)];
    if (head->cosines) {
        const float *cosines = head->cosines + (size_t)place * half, *sines = head->sines + (size_t)place * half;
        for (int i = 0; i < half; i++) {
            turned[i] = x[i] * cosines[i] - x[half + i] * sines[i];
            turned[half + i] = x[half + i] * cosines[i] + x[i] * sines[i];
        }
        x = turned;
    }
    for (int i = 0; i < round_up(size, 32); i += VL) {
        vf v = V(mul_ps)(load_first(x + i, i < size ? size - i : 0), all(scale));
        if (head->kind == BF16)
            store_bf16((uint16_t *)codes + i, v);
        else
            store((float *)codes + i, v);
    }
}

/* 8 x 8 cells: column j of `in` (8 rows, `stride` bytes apart) becomes row j of `out` (rows of a panel). */
INLINE void transpose_cells(const char *in, size_t stride, char *out) {
    __m256 r[8], s[8];
    for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps((const float *)(in + i * stride));
    for (int i = 0; i < 8; i += 2) {
        s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(s[i], s[i + 2], 0x44), r[i + 1] = _mm256_shuffle_ps(s[i], s[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0x44), r[i + 3] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps((float *)(out + i * 4 * PANEL), _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        _mm256_storeu_ps((float *)(out + (i + 4) * 4 * PANEL), _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}

/* Keys first..last as panels of 32 keys, cells along the head's size. */
INLINE void pack_keys(const Head *head, int from, int keys, char *codes, char *panels) {
    const long depth = row_depth(head->size, head->kind);
    const size_t stride = row_bytes(head->size, head->kind);
    for (int key = 0; key < round_up(keys, PANEL); key += 8) {
        for (int i = 0; i < 8; i++) {
            if (key + i < keys)
                take_row(head, (const float *)(head->rows + (from + key + i) * head->stride + head->key),
                         from + key + i, 1, codes + i * stride);
            else
                memset(codes + i * stride, 0, stride);
        }
        char *panel = panels + (size_t)(key / PANEL) * depth * 4 * PANEL + 4 * (key % PANEL);
        for (long cell = 0; cell < depth; cell += 8)
            transpose_cells(codes + 4 * cell, stride, panel + cell * 4 * PANEL);
    }
}

/* Up to 32 columns of values, cells along the keys; `columns` is a constant 32 but for heads of odd sizes. */
INLINE void pack_columns(const Head *head, int from, int keys, int column, const int columns, const int kind, char *panel) {
    static const float no_key[PANEL];
    const int items = cell_items(kind);
    const long depth = row_depth(keys, kind);
    const char *values = head->rows + from * head->stride + head->value + 4 * (size_t)column;
    for (long cell = 0; cell < depth; cell++) {
        const float *rows[2];
        for (int item = 0; item < items; item++) {
            const long key = cell * items + item;
            rows[item] = key < keys ? (const float *)(values + key * head->stride) : no_key;
        }
        for (int i = 0; i < PANEL; i += VL) {
            int left = columns - i > 0 ? columns - i : 0;
            char *to = panel + cell * 4 * PANEL + 4 * i;
            vf v = columns == PANEL ? load(rows[0] + i) : load_first(rows[0] + i, left);
            if (items == 1) {
                store((float *)to, v);
            } else {
                vf w = columns == PANEL ? load(rows[1] + i) : load_first(rows[1] + i, left);
                store_i(to, or_i(to_bf16(v), V(slli_epi32)(to_bf16(w), 16)));
            }
        }
    }
}

/* Values as panels of 32 of the head's dimensions. */
INLINE void pack_values(const Head *head, int from, int keys, char *panels) {
    const size_t panel = (size_t)row_depth(keys, head->kind) * 4 * PANEL;
    for (int column = 0; column < head->size; column += PANEL) {
        char *to = panels + column / PANEL * panel;
        const int columns = head->size - column;
        if (columns >= PANEL && head->kind == BF16)
            pack_columns(head, from, keys, column, PANEL, BF16, to);
        else if (columns >= PANEL)
            pack_columns(head, from, keys, column, PANEL, FLOAT32, to);
        else
            pack_columns(head, from, keys, column, columns, head->kind, to);
    }
}

/* Scores to e^(score - largest) of the keys from..to that a query sees, 0 for others; returns their sum. */
INLINE float soften(float *scores, int from, int to, int width, const int kind, char *codes) {
    float largest = -FLT_MAX;
    if (from == 0) {
        vf most = all(-FLT_MAX);
        for (int i = 0; i < to; i += VL)
            most = V(max_ps)(most, keep_first(load(scores + i), to - i, all(-FLT_MAX)));
        largest = max_of(most);
    } else {
        for (int i = from; i < to; i++) largest = fmaxf(largest, scores[i]);
        for (int i = 0; i < from; i++) scores[i] = -FLT_MAX;
    }
    const float log2_e = 1.44269504f;
    vf total = V(setzero_ps)(), shift = all(kind == BF16 ? largest * log2_e : largest);
    for (int i = 0; i < width; i += VL) {
        vf e = V(setzero_ps)();
        if (i < to && kind == BF16)
            e = rough_power_of_2(V(fmsub_ps)(load(scores + i), all(log2_e), shift));
        else if (i < to)
            e = exp_of(V(sub_ps)(load(scores + i), shift));
        if (i + VL > to) e = keep_first(e, i < to ? to - i : 0, V(setzero_ps)());
        if (i < from) e = V(sub_ps)(e, keep_first(e, from - i, V(setzero_ps)()));
        total = V(add_ps)(total, e);
        if (kind == BF16)
            store_bf16((uint16_t *)codes + i, e);
        else
            store((float *)codes + i, e);
    }
    return sum_of(total);
}

static void product(const Product *with, const char *a, size_t stride, const char *panels, long depth, int rows,
                    int columns, float *out, size_t out_stride) {
    for (int column = 0; column < columns; column += PANEL) {
        const char *panel = panels + (size_t)(column / PANEL) * depth * 4 * PANEL;
        int blocks = (rows + with->most_rows - 1) / with->most_rows;
        for (int b = 0; b < blocks; b++) {
            int row = (int)((long)rows * b / blocks), next = (int)((long)rows * (b + 1) / blocks);
            with->block(a + row * stride, stride, panel, depth, next - row, out + row * out_stride + column, out_stride);
        }
    }
}

void NAME(attend)(const Head *head, char *workspace, Place to) {
    const int kind = head->kind, size = head->size, queries = head->num_queries;
    int from = 0, until = head->length;
    if (head->window) { /* queries ascend: the keys that any of them sees */
        from = head->queries[0] - head->window > 0 ? head->queries[0] - head->window : 0;
        int last = head->queries[queries - 1] + head->window + 1;
        until = last < until ? last : until;
    }
    const int keys = until - from;
    const long padded = round_up(keys, PANEL), rows = round_up(queries, 32) + 32;
    const size_t stride = row_bytes(size, kind), code_stride = row_bytes(padded, kind);
    const size_t score_stride = row_bytes(padded, FLOAT32) / 4, context_stride = row_bytes(size, FLOAT32) / 4;

    char *query_codes = workspace, *key_panels = query_codes + rows * stride;
    char *value_panels = key_panels + padded * row_depth(size, kind) * 4;
    char *codes = value_panels + round_up(size, PANEL) * row_depth(padded, kind) * 4;
    float *scores = (float *)(codes + rows * code_stride);
    float *context = scores + rows * score_stride;
    float *sums = context + rows * context_stride;

    for (int q = 0; q < queries; q++)
        take_row(head, (const float *)(head->rows + head->queries[q] * head->stride), head->queries[q],
                 1 / sqrtf((float)size), query_codes + q * stride);
    pack_keys(head, from, keys, codes, key_panels);
    pack_values(head, from, keys, value_panels);

    product(head->product, query_codes, stride, key_panels, row_depth(size, kind), queries, (int)padded, scores,
            score_stride);
    const long width = row_depth(keys, kind) * cell_items(kind);
    for (int q = 0; q < queries; q++) {
        int low = 0, high = keys;
        if (head->window) {
            low = head->queries[q] - head->window - from, high = head->queries[q] + head->window + 1 - from;
            low = low > 0 ? low : 0, high = high < keys ? high : keys;
        }
        float *row = scores + q * score_stride;
        sums[q] = kind == BF16 ? soften(row, low, high, (int)width, BF16, codes + q * code_stride)
                               : soften(row, low, high, (int)width, FLOAT32, codes + q * code_stride);
    }
    product(head->product, codes, code_stride, value_panels, row_depth(keys, kind), queries, size, context,
            context_stride);

    for (int q = 0; q < queries; q++) {
        vf share = all(1 / sums[q]);
        for (int i = 0; i < size; i += VL) {
            vf v = V(mul_ps)(load(context + q * context_stride + i), share);
            float *floats = to.floats ? (float *)(to.floats + q * to.float_stride) + i : NULL;
            uint16_t *halves = to.codes ? (uint16_t *)(to.codes + q * to.code_stride) + i : NULL;
            int left = size - i < VL ? size - i : VL;
            if (floats) store_first(floats, left, v);
            if (halves && left == VL) store_bf16(halves, v);
            if (halves && left < VL) { /* the next head's dimensions come right behind */
                uint16_t some[VL];
                store_bf16(some, v);
                memcpy(halves, some, 2 * left);
            }
        }
    }
}
