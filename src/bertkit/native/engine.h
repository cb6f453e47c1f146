/* What the files of the engine share: a model as Python describes it, and one table of functions per kind of CPU.
 *
 * T tokens, B sequences, H hidden, D head size, N outputs and K inputs of a linear layer.
 *
 * Rows of activations are `row_bytes` apart and end in zeros up to a multiple of 64 bytes. Weights are packed in panels
 * of 32 outputs: panel[k][32] of 4-byte cells, a cell holding one float32, two bf16 or four int8 weights of successive
 * inputs. One loop serves all three: broadcast a cell of the row, multiply it with the cells of 32 outputs, add up.
 */
#ifndef BERTKIT_ENGINE_H
#define BERTKIT_ENGINE_H

#include <stddef.h>
#include <stdint.h>

enum { PANEL = 32 };           /* outputs in a panel */
enum { FLOAT32, BF16, INT8 };  /* kinds of a product */
enum { IDENTITY, GELU, GELU_TANH, RELU, GEGLU, GEGLU_TANH };

/* A linear layer, y = activation(x W^T + bias). With GEGLU a panel holds 16 outputs and then their 16 gates. */
typedef struct {
    const void *panels;
    const float *bias;   /* padded to whole panels */
    const float *scale;  /* int8: of each output, padded */
    const int32_t *sums; /* int8: each output's sum of weights, which the zero point is multiplied with */
    int32_t inputs, outputs, kind, activation;
} Linear;

/* LayerNorm; a NULL weight is none at all, a NULL bias is zeros. Both padded to a multiple of 32. */
typedef struct {
    const float *weight, *bias;
} Norm;

typedef struct {
    Linear query_key_value, attention_output, up, down;
    Norm attention_norm, output_norm; /* pre-norm models: before attention, before the feed-forward network */
    const float *cosines, *sines;     /* (positions, D / 2) each; NULL without rotary positions */
    int32_t window;                   /* tokens to each side that are attended to; 0 for all */
} Layer;

typedef struct {
    const float *words, *positions, *types; /* tables of embeddings; the last two may be NULL */
    Norm embedding_norm, final_norm;
    Linear projection; /* embeddings to hidden size; no panels where they are equal */
    const Layer *layers;
    int32_t num_layers, hidden, embedding, heads, intermediate, position_offset, pre_norm, attention_kind;
    float eps;
} Model;

/* What a call wants of one layer. `mode`: all tokens (T, H), chosen tokens (R, H), mean or first of sequences (B, H). */
enum { ALL, CHOSEN, MEAN, FIRST };
typedef struct {
    int32_t layer, mode;
    float *out;
} Wanted;

typedef struct {
    const int64_t *ids, *types;
    const int32_t *starts; /* (B + 1,) */
    const int64_t *chosen; /* (R,) ascending */
    int64_t sequences, num_chosen;
} Batch;

/* int8: x is about scale * (code - zero). */
typedef struct {
    float scale;
    int32_t zero;
} RowScale;

/* Where a step writes: floats, codes for the next product, or both. Strides in bytes. */
typedef struct {
    char *floats, *codes;
    size_t float_stride, code_stride;
    RowScale *scales;
    int code_kind;
} Place;

/* rows x 32 raw sums of one panel. `depth` counts cells, a multiple of 16; `out_stride` counts cells. */
typedef void Block(const char *a, size_t a_stride, const char *panel, long depth, int rows, void *out,
                   size_t out_stride);

typedef struct {
    Block *block;
    int most_rows;               /* that `block` takes at once */
    void (*begin)(void), (*end)(void); /* around blocks of a thread; may be NULL */
} Product;

/* Attention of `queries` rows of one head of one sequence. */
typedef struct {
    const char *rows; /* query, key, value of the sequence's first token, of this head */
    size_t stride;
    size_t key, value;       /* bytes from a row's query to its key and its value */
    const int32_t *queries;  /* places in the sequence */
    int num_queries, length, size, window;
    const float *cosines, *sines;
    const Product *product;
    int kind;
} Head;

/* Steps on rows, once for each width of vectors. */
typedef struct {
    void (*finish)(const Linear *, int panel, const void *sums, int rows, const RowScale *, const char *residual,
                   size_t residual_stride, Place);
    void (*norm)(const char *in, size_t stride, int rows, int width, Norm, float eps, Place);
    void (*encode)(const char *in, size_t stride, int rows, int width, Place);
    void (*embed)(const Model *, int64_t id, int64_t type, int64_t position, float *row);
    void (*attend)(const Head *, char *workspace, Place);
} Steps;

typedef struct {
    const char *name;
    Product products[3];
    const Steps *steps;
    int most_weight; /* int8 weights are within -most..most: without VNNI sums of two products have 16 bits */
} Isa;

extern const Steps steps_avx2, steps_avx512;
Block block_float32_avx2, block_float32_avx512, block_bf16_avx512, block_int8_avx2, block_int8_avxvnni,
    block_int8_avx512, block_int8_amx, block_bf16_amx;
void amx_begin(void), amx_end(void);

extern const Isa isas[];
const Isa *current_isa(int index);

static inline long round_up(long n, long step) { return (n + step - 1) / step * step; }
static inline int cell_items(int kind) { return kind == FLOAT32 ? 1 : kind == BF16 ? 2 : 4; }
static inline int item_bytes(int kind) { return 4 / cell_items(kind); }

/* An odd number of cache lines: rows of a power of two would all fall into the same few sets of the cache. */
static inline size_t row_bytes(long width, int kind) {
    return (size_t)((round_up(width, PANEL) * item_bytes(kind) + 63) / 64 | 1) * 64;
}
/* Cells of a row that a product reads. */
static inline long row_depth(long width, int kind) { return round_up(width * item_bytes(kind), 64) / 4; }

size_t attention_workspace(int length, int queries, int size, int kind);
int attention_queries(int length); /* that one piece of work takes */

/* threads.c: work in pieces. `compute` writes rows x cols from (row, col) on to `place`, which is already there. */
typedef struct {
    int row, rows, col, cols, number;
} Piece;
typedef struct Work {
    void (*compute)(const struct Work *, Piece, char *workspace, Place);
    Piece (*piece)(const struct Work *, int number);
    const void *step;
    const Isa *isa;
    Place place;
    size_t workspace; /* bytes that `compute` needs */
    int pieces;
} Work;
typedef struct Job Job;

typedef struct Scratch {
    struct Scratch *next;
    char *memory;
    size_t size, workspace_size;
    char *workspace;
    int users; /* the call and the helpers that are still in it */
    Job *job;
} Scratch;

Scratch *take_scratch(size_t size);
void leave_scratch(Scratch *);
int start_job(Scratch *, int threads); /* how many threads there are */
void end_job(Scratch *);
int run(Scratch *, const Work *, size_t step_size); /* 0, or -1 where there is no memory */

#endif
