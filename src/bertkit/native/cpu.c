/* Which instructions this CPU and its system offer, and weights packed for them. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <math.h>
#include <string.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "engine.h"

#define AVX2_FLOAT {block_float32_avx2, 6, NULL, NULL}
#define AVX512_FLOAT {block_float32_avx512, 14, NULL, NULL}
#define NO_PRODUCT {NULL, 0, NULL, NULL}

/* Each level has all that those before it have, but for `avx_vnni`, which CPUs without AVX-512 end with. */
const Isa isas[] = {
    {"avx2", {AVX2_FLOAT, NO_PRODUCT, {block_int8_avx2, 5, NULL, NULL}}, &steps_avx2, 63},
    {"avx_vnni", {AVX2_FLOAT, NO_PRODUCT, {block_int8_avxvnni, 6, NULL, NULL}}, &steps_avx2, 127},
    {"avx512", {AVX512_FLOAT, NO_PRODUCT, {block_int8_avx2, 5, NULL, NULL}}, &steps_avx512, 63},
    {"avx512_vnni", {AVX512_FLOAT, NO_PRODUCT, {block_int8_avx512, 14, NULL, NULL}}, &steps_avx512, 127},
    {"avx512_bf16",
     {AVX512_FLOAT, {block_bf16_avx512, 14, NULL, NULL}, {block_int8_avx512, 14, NULL, NULL}}, &steps_avx512, 127},
    {"amx",
     {AVX512_FLOAT, {block_bf16_amx, 32, amx_begin, amx_end}, {block_int8_amx, 32, amx_begin, amx_end}},
     &steps_avx512, 127},
};
enum { ISAS = sizeof isas / sizeof *isas };

const Isa *current_isa(int index) { return &isas[index]; }

const char *bertkit_isa_name(int index) { return index >= 0 && index < ISAS ? isas[index].name : NULL; }
int bertkit_most_weight(int index) { return isas[index].most_weight; }
int bertkit_has_kind(int index, int kind) { return isas[index].products[kind].block != NULL; }

/* AMX has to be asked for, once a process; a system that does not know the question has no AMX. */
static int amx_allowed(void) {
#ifdef __linux__
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
    return 0;
#endif
}

/* Whether a level runs here: the CPU has the instructions, and the system keeps their registers. */
int bertkit_has_isa(int index) {
    unsigned a, b, c, d, b7, c7, d7, a71 = 0, unused;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_FMA)) return 0;
    unsigned low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return 0;
    if (a) __get_cpuid_count(7, 1, &a71, &unused, &unused, &unused);
    const int avx2 = (low & 0x6) == 0x6 && (b7 & bit_AVX2);
    const unsigned needed = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    const int avx512 = avx2 && (low & 0xe6) == 0xe6 && (b7 & needed) == needed;
    const int vnni = avx512 && (c7 >> 11 & 1), bf16 = vnni && (a71 >> 5 & 1);
    switch (index) {
        case 0: return avx2;
        case 1: return avx2 && (a71 >> 4 & 1);
        case 2: return avx512;
        case 3: return vnni;
        case 4: return bf16;
        case 5: return bf16 && (low >> 17 & 3) == 3 && (d7 >> 22 & 1) && (d7 >> 24 & 1) && (d7 >> 25 & 1) && amx_allowed();
        default: return 0;
    }
}

/* Bytes of the panels of a layer with N outputs and K inputs. */
int64_t bertkit_panel_bytes(int outputs, int inputs, int kind) {
    return round_up(outputs, PANEL) * row_depth(inputs, kind) * 4;
}

static uint16_t half_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Item (output, input) of the panels. */
static size_t place_of(long output, long input, long depth, int kind) {
    const int items = cell_items(kind);
    return ((output / PANEL * depth + input / items) * PANEL + output % PANEL) * items + input % items;
}

/* float32 weights (N, K) as panels; for int8 also the scale of each output, and its sum of weights. The arrays come zeroed. */
void bertkit_pack(const float *weights, int outputs, int inputs, int kind, int most, void *panels, float *scales,
                  int32_t *sums) {
    const long depth = row_depth(inputs, kind);
    for (long n = 0; n < outputs; n++) {
        const float *row = weights + n * inputs;
        if (kind == FLOAT32) {
            float *to = (float *)panels + place_of(n, 0, depth, kind);
            for (long k = 0; k < inputs; k++) to[k * PANEL] = row[k];
        } else if (kind == BF16) {
            for (long k = 0; k < inputs; k++) ((uint16_t *)panels)[place_of(n, k, depth, kind)] = half_of(row[k]);
        } else {
            float largest = 0;
            for (long k = 0; k < inputs; k++) largest = fmaxf(largest, fabsf(row[k]));
            const float scale = largest > 0 ? largest / (float)most : 1;
            int32_t sum = 0;
            for (long k = 0; k < inputs; k++) {
                int8_t code = (int8_t)lrintf(row[k] / scale);
                ((int8_t *)panels)[place_of(n, k, depth, kind)] = code;
                sum += code;
            }
            scales[n] = scale, sums[n] = sum;
        }
    }
}

/* int8 weights (N, K) that were made elsewhere; an output whose codes are too large for this CPU is narrowed. */
void bertkit_pack_codes(const int8_t *weights, const float *scales_in, int outputs, int inputs, int most, void *panels,
                        float *scales, int32_t *sums) {
    const long depth = row_depth(inputs, INT8);
    for (long n = 0; n < outputs; n++) {
        const int8_t *row = weights + n * inputs;
        int largest = 0;
        for (long k = 0; k < inputs; k++) {
            int size = row[k] < 0 ? -row[k] : row[k];
            if (size > largest) largest = size;
        }
        const float step = largest > most ? (float)largest / (float)most : 1;
        int32_t sum = 0;
        for (long k = 0; k < inputs; k++) {
            int8_t code = step > 1 ? (int8_t)lrintf((float)row[k] / step) : row[k];
            ((int8_t *)panels)[place_of(n, k, depth, INT8)] = code;
            sum += code;
        }
        scales[n] = scales_in[n] * step, sums[n] = sum;
    }
}
