/* The forward pass of a whole encoder over a packed batch, step by step, in one call.
 *
 * Rows of activations stay in the call's scratch memory. Behind attention all works on one row alone, so it runs in
 * blocks of rows whose intermediate results stay in the second-level cache.
 */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

enum { BLOCK_ROWS = 128 };

/* Rows of activations as the next product reads them. */
typedef struct {
    char *rows;
    size_t stride;
    RowScale *scales;
} Codes;

typedef struct {
    Scratch *scratch;
    const Isa *isa;
    int threads, failed;
} Call;

static void run_step(Call *call, Work work, size_t step_size) {
    work.isa = call->isa;
    if (!call->failed && run(call->scratch, &work, step_size)) call->failed = 1;
}

/* Matrix product with what follows it, in pieces of rows and of panels. */
typedef struct {
    const Linear *linear;
    Codes in;
    const char *residual;
    size_t residual_stride;
    int rows, row_step, panels, panel_step, panel_width;
} ProductStep;

static Piece product_piece(const Work *work, int number) {
    const ProductStep *s = work->step;
    int across = (s->panels + s->panel_step - 1) / s->panel_step;
    int row = number / across * s->row_step, panel = number % across * s->panel_step;
    int rows = s->rows - row < s->row_step ? s->rows - row : s->row_step;
    int panels = s->panels - panel < s->panel_step ? s->panels - panel : s->panel_step;
    return (Piece){row, rows, panel * s->panel_width, panels * s->panel_width, number};
}

static void compute_product(const Work *work, Piece piece, char *workspace, Place place) {
    (void)workspace;
    const ProductStep *s = work->step;
    const Linear *linear = s->linear;
    const Product *product = &work->isa->products[linear->kind];
    const long depth = row_depth(linear->inputs, linear->kind);
    const int most = product->most_rows, blocks = (piece.rows + most - 1) / most;
    _Alignas(64) int32_t sums[32 * PANEL];
    if (product->begin) product->begin();
    for (int col = 0; col < piece.cols; col += s->panel_width) {
        const int panel = (piece.col + col) / s->panel_width;
        const char *weights = (const char *)linear->panels + (size_t)panel * depth * 4 * PANEL;
        for (int b = 0; b < blocks; b++) {
            /* Tiles are best full; vectors have a loop for every number of rows, and even blocks keep them all long. */
            int row = most == 32 ? b * 32 : piece.rows * b / blocks;
            int next = most == 32 ? row + 32 : piece.rows * (b + 1) / blocks;
            if (next > piece.rows) next = piece.rows;
            const int from = piece.row + row;
            product->block(s->in.rows + from * s->in.stride, s->in.stride, weights, depth, next - row, sums, PANEL);
            Place to = place;
            if (to.floats) to.floats += row * to.float_stride + 4 * (size_t)col;
            if (to.codes) to.codes += row * to.code_stride + (size_t)col * item_bytes(to.code_kind);
            const char *residual =
                s->residual ? s->residual + from * s->residual_stride + 4 * (size_t)(piece.col + col) : NULL;
            work->isa->steps->finish(linear, panel, sums, next - row, s->in.scales ? s->in.scales + from : NULL,
                                     residual, s->residual_stride, to);
        }
    }
    if (product->end) product->end();
}

static void multiply(Call *call, const Linear *linear, Codes in, int rows, const char *residual, size_t residual_stride,
                     Place to) {
    if (!rows) return;
    ProductStep s = {.linear = linear, .in = in, .residual = residual, .residual_stride = residual_stride, .rows = rows};
    s.panels = (int)round_up(linear->outputs, PANEL) / PANEL;
    s.panel_width = linear->activation >= GEGLU ? PANEL / 2 : PANEL;
    s.row_step = BLOCK_ROWS;
    int row_pieces = (rows + s.row_step - 1) / s.row_step;
    /* About eight pieces for each thread: the last to finish is then not much later than the first. */
    int pieces = call->threads > 1 ? 8 * call->threads : 1;
    s.panel_step = pieces > row_pieces ? (s.panels * row_pieces + pieces - 1) / pieces : s.panels;
    run_step(call,
             (Work){.compute = compute_product, .piece = product_piece, .step = &s, .place = to,
                    .pieces = row_pieces * ((s.panels + s.panel_step - 1) / s.panel_step)},
             sizeof s);
}

/* Steps that take rows alone: LayerNorm, codes, embeddings. */
typedef struct {
    const char *in;
    size_t stride;
    int rows, row_step, width, is_norm;
    Norm norm;
    float eps;
    const Model *model;
    const int64_t *ids, *types;
    const int32_t *places;
} RowStep;

static Piece row_piece(const Work *work, int number) {
    const RowStep *s = work->step;
    int row = number * s->row_step;
    return (Piece){row, s->rows - row < s->row_step ? s->rows - row : s->row_step, 0,
                   (int)round_up(s->width, PANEL), number};
}

static void compute_rows(const Work *work, Piece piece, char *workspace, Place place) {
    (void)workspace;
    const RowStep *s = work->step;
    if (s->model)
        for (int r = piece.row; r < piece.row + piece.rows; r++)
            work->isa->steps->embed(s->model, s->ids[r], s->types[r], s->places[r],
                                    (float *)(place.floats + (r - piece.row) * place.float_stride));
    else if (s->is_norm)
        work->isa->steps->norm(s->in + piece.row * s->stride, s->stride, piece.rows, s->width, s->norm, s->eps, place);
    else
        work->isa->steps->encode(s->in + piece.row * s->stride, s->stride, piece.rows, s->width, place);
}

static void run_rows(Call *call, RowStep s, Place to) {
    s.row_step = call->threads > 1 ? 16 : s.rows;
    run_step(call,
             (Work){.compute = compute_rows, .piece = row_piece, .step = &s, .place = to,
                    .pieces = s.rows ? (s.rows + s.row_step - 1) / s.row_step : 0},
             sizeof s);
}

/* Attention: some queries of one head of one sequence at a time. */
typedef struct {
    int first_token, length, row, queries;
} Group;

typedef struct {
    const Group *groups;
    const int32_t *places; /* of every query row in its sequence */
    const char *rows;
    size_t stride;
    const Model *model;
    const Layer *layer;
} AttentionStep;

static Piece attention_piece(const Work *work, int number) {
    const AttentionStep *s = work->step;
    const Group *g = s->groups + number / s->model->heads;
    int size = s->model->hidden / s->model->heads;
    return (Piece){g->row, g->queries, number % s->model->heads * size, size, number};
}

static void compute_attention(const Work *work, Piece piece, char *workspace, Place place) {
    const AttentionStep *s = work->step;
    const Group *g = s->groups + piece.number / s->model->heads;
    const size_t width = 4 * (size_t)s->model->hidden;
    const Product *product = &work->isa->products[s->model->attention_kind];
    Head head = {.rows = s->rows + g->first_token * s->stride + 4 * (size_t)piece.col, .stride = s->stride, .key = width,
                 .value = 2 * width, .queries = s->places + g->row, .num_queries = g->queries, .length = g->length,
                 .size = piece.cols, .window = s->layer->window, .cosines = s->layer->cosines, .sines = s->layer->sines,
                 .product = product, .kind = s->model->attention_kind};
    if (product->begin) product->begin();
    work->isa->steps->attend(&head, workspace, place);
    if (product->end) product->end();
}

/* Queries that one piece takes: long sequences' scores should stay in the cache. */
int attention_queries(int length) {
    long most = 65536 / round_up(length, PANEL) / 32 * 32;
    return most < 32 ? 32 : most > 128 ? 128 : (int)most;
}

size_t attention_workspace(int length, int queries, int size, int kind) {
    const long padded = round_up(length, PANEL), rows = round_up(queries, 32) + 32;
    size_t floats = row_bytes(padded, FLOAT32) + row_bytes(size, FLOAT32) + 4;
    return rows * (row_bytes(size, kind) + row_bytes(padded, kind) + floats) + padded * row_depth(size, kind) * 4 +
           round_up(size, PANEL) * row_depth(padded, kind) * 4 + 8 * row_bytes(size, kind) + 4096;
}

/* The memory of a call, laid out one array after another; first counted, then given out. */
typedef struct {
    char *memory;
    size_t used;
} Layout;

static void *lay(Layout *layout, size_t bytes) {
    void *place = layout->memory ? layout->memory + layout->used : NULL;
    layout->used += (size_t)round_up((long)bytes, 64);
    return place;
}

typedef struct {
    char *hidden, *projected, *context, *intermediate, *codes, *context_codes, *intermediate_codes;
    RowScale *scales, *context_scales, *intermediate_scales;
    int64_t *ids, *types;
    int32_t *places, *query_places;
    int64_t *firsts;
    Group *groups, *query_groups;
} Buffers; /* what a step reads is not written again in its call, but for rows: a late helper may still be reading */

static Buffers lay_out(Layout *layout, const Model *m, long tokens, long sequences) {
    const long rows = tokens + 32, block = (tokens < BLOCK_ROWS ? tokens : BLOCK_ROWS) + 32;
    const long width = m->hidden > m->embedding ? m->hidden : m->embedding;
    Buffers b;
    b.hidden = lay(layout, rows * row_bytes(width, FLOAT32));
    b.projected = lay(layout, rows * row_bytes(3L * m->hidden, FLOAT32));
    b.context = lay(layout, rows * row_bytes(m->hidden, FLOAT32));
    b.codes = lay(layout, rows * row_bytes(width, FLOAT32));
    b.context_codes = lay(layout, rows * row_bytes(m->hidden, BF16));
    b.intermediate = lay(layout, block * row_bytes(m->intermediate, FLOAT32));
    b.intermediate_codes = lay(layout, block * row_bytes(m->intermediate, BF16));
    b.scales = lay(layout, rows * sizeof(RowScale));
    b.context_scales = lay(layout, rows * sizeof(RowScale));
    b.intermediate_scales = lay(layout, block * sizeof(RowScale));
    b.ids = lay(layout, tokens * sizeof(int64_t));
    b.types = lay(layout, tokens * sizeof(int64_t));
    b.places = lay(layout, tokens * sizeof(int32_t));
    b.query_places = lay(layout, tokens * sizeof(int32_t));
    b.firsts = lay(layout, sequences * sizeof(int64_t));
    b.groups = lay(layout, (tokens / 32 + 2 * sequences + 1) * sizeof(Group));
    b.query_groups = lay(layout, (tokens / 32 + 2 * sequences + 1) * sizeof(Group));
    return b;
}

/* Codes for `linear` of `hidden` behind a LayerNorm; `in_place` the normed rows stay in `hidden`. */
static Codes normalize(Call *call, const Model *m, Buffers *b, int row, int rows, Norm norm, int in_place,
                       const Linear *linear) {
    const size_t stride = row_bytes(m->hidden, FLOAT32);
    char *hidden = b->hidden + row * stride;
    Place to = {.floats = in_place ? hidden : NULL, .float_stride = stride};
    Codes codes = {hidden, stride, NULL};
    if (linear && (linear->kind != FLOAT32 || (!in_place && norm.weight))) {
        codes.stride = to.code_stride = row_bytes(m->hidden, linear->kind);
        codes.rows = to.codes = b->codes + row * codes.stride;
        codes.scales = to.scales = b->scales + row;
        to.code_kind = linear->kind;
    }
    if (norm.weight || to.codes)
        run_rows(call, (RowStep){.in = hidden, .stride = stride, .rows = rows, .width = m->hidden, .is_norm = 1,
                                 .norm = norm, .eps = m->eps}, to);
    return codes;
}

/* float32 rows as codes for `linear`. */
static Codes encode_for(Call *call, const Linear *linear, char *in, size_t stride, int rows, char *codes,
                        RowScale *scales) {
    if (linear->kind == FLOAT32) return (Codes){in, stride, NULL};
    Codes out = {codes, row_bytes(linear->inputs, linear->kind), scales};
    run_rows(call, (RowStep){.in = in, .stride = stride, .rows = rows, .width = linear->inputs},
             (Place){.codes = codes, .code_stride = out.stride, .scales = scales, .code_kind = linear->kind});
    return out;
}

static void copy_out(const Model *m, const Batch *batch, const Buffers *b, const Wanted *want, int compact) {
    const size_t stride = row_bytes(m->hidden, FLOAT32), bytes = 4 * (size_t)m->hidden;
    const int64_t tokens = batch->starts[batch->sequences];
    int64_t rows = want->mode == ALL ? tokens : want->mode == CHOSEN ? batch->num_chosen : batch->sequences;
    for (int64_t r = 0; r < rows; r++) {
        float *out = want->out + r * m->hidden;
        if (want->mode == MEAN) {
            int first = batch->starts[r], last = batch->starts[r + 1];
            memset(out, 0, bytes);
            for (int t = first; t < last; t++) {
                const float *row = (const float *)(b->hidden + t * stride);
                for (int i = 0; i < m->hidden; i++) out[i] += row[i];
            }
            for (int i = 0; i < m->hidden; i++) out[i] /= (float)(last - first);
        } else {
            int64_t row = compact || want->mode == ALL ? r : want->mode == CHOSEN ? batch->chosen[r] : batch->starts[r];
            memcpy(out, b->hidden + row * stride, bytes);
        }
    }
}

/* One layer; `codes` are those of all tokens for its first product. Returns those for `next`, the next layer's. */
static Codes encode_layer(Call *call, const Model *m, const Layer *layer, Buffers *b, Codes codes, int tokens,
                          const Group *groups, int num_groups, const int32_t *places, int rows, const int64_t *kept,
                          int longest, const Layer *next) {
    const size_t stride = row_bytes(m->hidden, FLOAT32), wide = row_bytes(m->intermediate, FLOAT32);
    const size_t projected_stride = row_bytes(3L * m->hidden, FLOAT32);
    multiply(call, &layer->query_key_value, codes, tokens, NULL, 0,
             (Place){.floats = b->projected, .float_stride = projected_stride});
    if (kept) /* ascending, so that no row is overwritten before it moves */
        for (int r = 0; r < rows; r++) memmove(b->hidden + r * stride, b->hidden + kept[r] * stride, stride);

    AttentionStep attention = {groups, places, b->projected, projected_stride, m, layer};
    Place context = {.floats = b->context, .float_stride = stride};
    if (layer->attention_output.kind == BF16)
        context = (Place){.codes = b->context_codes, .code_stride = row_bytes(m->hidden, BF16), .code_kind = BF16};
    const int size = m->hidden / m->heads, context_kind = context.codes ? BF16 : FLOAT32;
    const size_t used = (size_t)m->hidden * item_bytes(context_kind);
    const size_t read = 4 * (size_t)row_depth(m->hidden, context_kind);
    if (read > used) /* heads fill no more than the width */
        for (int r = 0; r < rows; r++)
            memset((context.codes ? context.codes + r * context.code_stride : context.floats + r * stride) + used, 0,
                   read - used);
    run_step(call,
             (Work){.compute = compute_attention, .piece = attention_piece, .step = &attention, .place = context,
                    .workspace = attention_workspace(longest, attention_queries(longest), size, m->attention_kind),
                    .pieces = num_groups * m->heads},
             sizeof attention);

    Codes following = {0};
    for (int row = 0; row < rows; row += BLOCK_ROWS) {
        const int count = rows - row < BLOCK_ROWS ? rows - row : BLOCK_ROWS;
        char *hidden = b->hidden + row * stride;
        Place to = {.floats = hidden, .float_stride = stride};

        Codes in = {b->context_codes + row * context.code_stride, context.code_stride, NULL};
        if (!context.codes)
            in = encode_for(call, &layer->attention_output, b->context + row * stride, stride, count, b->context_codes,
                            b->context_scales);
        multiply(call, &layer->attention_output, in, count, hidden, stride, to);
        in = normalize(call, m, b, row, count, m->pre_norm ? layer->output_norm : layer->attention_norm, !m->pre_norm,
                       &layer->up);

        if (layer->down.kind == BF16) {
            Codes expanded = {b->intermediate_codes, row_bytes(m->intermediate, BF16), NULL};
            multiply(call, &layer->up, in, count, NULL, 0,
                     (Place){.codes = expanded.rows, .code_stride = expanded.stride, .code_kind = BF16});
            in = expanded;
        } else {
            multiply(call, &layer->up, in, count, NULL, 0, (Place){.floats = b->intermediate, .float_stride = wide});
            in = encode_for(call, &layer->down, b->intermediate, wide, count, b->intermediate_codes,
                            b->intermediate_scales);
        }
        multiply(call, &layer->down, in, count, hidden, stride, to);

        const Linear *reader = next ? &next->query_key_value : NULL;
        if (!m->pre_norm) {
            in = normalize(call, m, b, row, count, layer->output_norm, 1, reader);
        } else if (next) {
            in = normalize(call, m, b, row, count, next->attention_norm, 0, reader);
        } else if (layer == m->layers + m->num_layers - 1) {
            in = normalize(call, m, b, row, count, m->final_norm, 1, NULL);
        }
        if (row == 0) following = in;
    }
    return following;
}

static int cut_into_groups(const Batch *batch, const int64_t *kept, int64_t rows, int32_t *places, Group *groups) {
    int count = 0;
    int64_t r = 0;
    for (int64_t s = 0; s < batch->sequences; s++) {
        const int first = batch->starts[s], length = batch->starts[s + 1] - first, most = attention_queries(length);
        while (r < rows && (kept ? kept[r] : r) < first + length) {
            Group g = {first, length, (int)r, 0};
            for (; r < rows && g.queries < most && (kept ? kept[r] : r) < first + length; r++, g.queries++)
                places[r] = (int32_t)((kept ? kept[r] : r) - first);
            groups[count++] = g;
        }
    }
    return count;
}

/* Hidden states of a batch. 0, or -1 where there is no memory. */
int bertkit_encode(const Model *m, int isa, const Batch *batch, const Wanted *wanted, int num_wanted, int threads) {
    const int64_t tokens = batch->starts[batch->sequences];
    int last = 0, longest = 1;
    for (int i = 0; i < num_wanted; i++)
        if (wanted[i].layer > last) last = wanted[i].layer;
    for (int64_t s = 0; s < batch->sequences; s++)
        if (batch->starts[s + 1] - batch->starts[s] > longest) longest = batch->starts[s + 1] - batch->starts[s];

    Layout layout = {0};
    lay_out(&layout, m, tokens, batch->sequences);
    Scratch *scratch = take_scratch(layout.used + 64 * 1024);
    if (!scratch) return -1;
    layout = (Layout){scratch->memory, 0};
    Buffers b = lay_out(&layout, m, tokens, batch->sequences);
    Call call = {scratch, current_isa(isa), start_job(scratch, threads), 0};
    if (!scratch->job) {
        leave_scratch(scratch);
        return -1;
    }

    memcpy(b.ids, batch->ids, tokens * sizeof(int64_t));
    memcpy(b.types, batch->types, tokens * sizeof(int64_t));
    int num_groups = cut_into_groups(batch, NULL, tokens, b.places, b.groups);
    const int32_t *places = b.places;

    char *embedded = m->projection.panels ? b.context : b.hidden;
    run_rows(&call, (RowStep){.rows = (int)tokens, .width = m->embedding, .model = m, .ids = b.ids, .types = b.types,
                              .places = b.places},
             (Place){.floats = embedded, .float_stride = row_bytes(m->embedding, FLOAT32)});
    if (m->projection.panels) {
        Codes in = encode_for(&call, &m->projection, embedded, row_bytes(m->embedding, FLOAT32), (int)tokens, b.codes, b.scales);
        multiply(&call, &m->projection, in, (int)tokens, NULL, 0,
                 (Place){.floats = b.hidden, .float_stride = row_bytes(m->hidden, FLOAT32)});
    }
    for (int i = 0; i < num_wanted; i++)
        if (wanted[i].layer == 0) copy_out(m, batch, &b, wanted + i, 0);

    Codes codes = {0};
    if (last) {
        Norm first = m->pre_norm ? m->layers[0].attention_norm : (Norm){0};
        codes = normalize(&call, m, &b, 0, (int)tokens, first, 0, &m->layers[0].query_key_value);
    }
    const Group *groups = b.groups;
    for (int depth = 1; depth <= last; depth++) {
        const int64_t *kept = NULL;
        int64_t rows = tokens;
        if (depth == last && num_wanted == 1 && wanted[0].mode == CHOSEN) kept = batch->chosen, rows = batch->num_chosen;
        if (depth == last && num_wanted == 1 && wanted[0].mode == FIRST) {
            rows = batch->sequences;
            for (int64_t s = 0; s < rows; s++) b.firsts[s] = batch->starts[s];
            kept = b.firsts;
        }
        if (kept) {
            num_groups = cut_into_groups(batch, kept, rows, b.query_places, b.query_groups);
            places = b.query_places, groups = b.query_groups;
        }
        codes = encode_layer(&call, m, m->layers + depth - 1, &b, codes, (int)tokens, groups, num_groups, places,
                             (int)rows, kept, longest, depth < m->num_layers && depth < last ? m->layers + depth : NULL);
        for (int i = 0; i < num_wanted; i++)
            if (wanted[i].layer == depth) copy_out(m, batch, &b, wanted + i, kept != NULL);
    }
    end_job(scratch);
    leave_scratch(scratch);
    return call.failed ? -1 : 0;
}

/* Rows (R, K), contiguous, through one linear layer to (R, N). 0, or -1 where there is no memory. */
int bertkit_linear(const Linear *linear, int isa, const float *in, int64_t rows, float *out, int threads) {
    const size_t coded = row_bytes(linear->inputs, linear->kind), wide = row_bytes(linear->outputs, FLOAT32);
    Scratch *scratch = take_scratch((rows + 32) * (coded + wide + 2 * sizeof(RowScale)) + 4096);
    if (!scratch) return -1;
    Call call = {scratch, current_isa(isa), start_job(scratch, threads), 0};
    if (!scratch->job) {
        leave_scratch(scratch);
        return -1;
    }
    Codes codes = {scratch->memory, coded, (RowScale *)(scratch->memory + (rows + 32) * (coded + wide))};
    char *floats = scratch->memory + (rows + 32) * coded;
    const Isa *with = current_isa(isa);
    with->steps->encode((const char *)in, 4 * (size_t)linear->inputs, (int)rows, linear->inputs,
                        (Place){.codes = codes.rows, .code_stride = coded, .scales = codes.scales,
                                .code_kind = linear->kind});
    multiply(&call, linear, codes, (int)rows, NULL, 0, (Place){.floats = floats, .float_stride = wide});
    const int width = linear->activation >= GEGLU ? linear->outputs / 2 : linear->outputs;
    for (int64_t r = 0; r < rows && !call.failed; r++) memcpy(out + r * width, floats + r * wide, 4 * (size_t)width);
    end_job(scratch);
    leave_scratch(scratch);
    return call.failed ? -1 : 0;
}

/* LayerNorm of rows (R, H), contiguous, in place. */
void bertkit_norm(const Norm *norm, int isa, float eps, float *rows, int64_t count, int width) {
    float row[round_up(width, PANEL)];
    for (int64_t r = 0; r < count; r++) {
        current_isa(isa)->steps->norm((const char *)(rows + r * width), 0, 1, width, *norm, eps,
                                      (Place){.floats = (char *)row});
        memcpy(rows + r * width, row, 4 * (size_t)width);
    }
}
