/* The inner loop with AMX: up to 32 rows times 32 outputs in four tiles of sums. Panels are those of the other loops. */
#include <immintrin.h>

#include "engine.h"

typedef struct {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} TileConfig;

/* In memory and not on the stack: gcc 12 tells the compiler of the first eight bytes that the instruction reads only. */
static const TileConfig all_full = {.palette = 1,
                                    .bytes = {64, 64, 64, 64, 64, 64, 64, 64},
                                    .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

void amx_begin(void) { _tile_loadconfig(&all_full); }

/* Tiles that are in use make every switch between threads save 8 KiB. */
void amx_end(void) { _tile_release(); }

/* Tiles 0 to 3 are sums, 4 and 5 rows, 6 and 7 outputs. Rows behind the last are read and their sums never used: every
 * buffer of rows has room for them. */
/* Weights come once from the third-level cache and in an order that the CPU does not foresee: they are asked for 6 steps
 * (12 KiB) before they are needed, across the end of a panel into the next. A quarter of the time with few rows. */
static inline void fetch_ahead(const char *panel) {
    for (int line = 0; line < 32; line++) _mm_prefetch(panel + 6 * 2048 + 64 * line, _MM_HINT_T0);
}

#define BLOCK_AMX(name, dot)                                                                                          \
    void name(const char *a, size_t a_stride, const char *panel, long depth, int rows, void *out, size_t out_stride) { \
        int32_t *c = out;                                                                                              \
        _tile_zero(0); _tile_zero(1);                                                                                  \
        if (rows <= 16) {                                                                                              \
            for (long k = 0; k < depth; k += 16) {                                                                     \
                fetch_ahead(panel + 128 * k);                                                                          \
                _tile_loadd(4, a + 4 * k, a_stride);                                                                   \
                _tile_loadd(6, panel + 128 * k, 128);                                                                  \
                dot(0, 4, 6);                                                                                          \
                _tile_loadd(7, panel + 128 * k + 64, 128);                                                             \
                dot(1, 4, 7);                                                                                          \
            }                                                                                                          \
        } else {                                                                                                       \
            _tile_zero(2); _tile_zero(3);                                                                              \
            for (long k = 0; k < depth; k += 16) {                                                                     \
                fetch_ahead(panel + 128 * k);                                                                          \
                _tile_loadd(4, a + 4 * k, a_stride);                                                                   \
                _tile_loadd(6, panel + 128 * k, 128);                                                                  \
                dot(0, 4, 6);                                                                                          \
                _tile_loadd(7, panel + 128 * k + 64, 128);                                                             \
                dot(1, 4, 7);                                                                                          \
                _tile_loadd(5, a + 16 * a_stride + 4 * k, a_stride);                                                   \
                dot(2, 5, 6);                                                                                          \
                dot(3, 5, 7);                                                                                          \
            }                                                                                                          \
            _tile_stored(2, c + 16 * out_stride, 4 * out_stride);                                                      \
            _tile_stored(3, c + 16 * out_stride + 16, 4 * out_stride);                                                 \
        }                                                                                                              \
        _tile_stored(0, c, 4 * out_stride);                                                                            \
        _tile_stored(1, c + 16, 4 * out_stride);                                                                       \
    }

BLOCK_AMX(block_int8_amx, _tile_dpbusd)
BLOCK_AMX(block_bf16_amx, _tile_dpbf16ps)
