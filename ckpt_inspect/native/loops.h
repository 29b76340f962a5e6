/* The loops over elements, without Python: what the other files compute and module.c hands over. */
#ifndef CKPT_INSPECT_LOOPS_H
#define CKPT_INSPECT_LOOPS_H

#include <stddef.h>
#include <stdint.h>

#include "processor.h"

enum { FINE_SHIFT = 17 }; /* histograms.FINE_SHIFT */
#define FINE_BINS (1 << (31 - FINE_SHIFT))
#define HALVES (1 << 16) /* numbers that a float of 16 bits can be */

typedef enum { FLOAT32, FLOAT64, FLOAT16, BFLOAT16 } Dtype;

INLINE size_t width_of(Dtype dtype)
{
    return dtype == FLOAT32 ? 4 : dtype == FLOAT64 ? 8 : 2;
}

/* --- where elements come from */

typedef struct {
    const unsigned char *memory; /* NULL if they are in a file, or if there is no such array */
    int descriptor;              /* of the file; -1 for none */
    int64_t offset;              /* in the file, of the first element that is wanted */
    int is_received;             /* whether memory is what came of a file: at any address, and to be checksummed */
    uint32_t crc;                /* of what has been read of the file */
} Source;

INLINE int is_there(const Source *source)
{
    return source->memory || source->descriptor >= 0;
}

enum { CHUNK = 1 << 15 }; /* elements that are read at a time: those of three arrays fit the second-level cache */

/* The elements begin:begin+n of a source, in `scratch`, CHUNK elements long, if they must be read. NULL if they can't be.
 * Whoever asks for one range after another has the checksum of all. */
BETWEEN_FILES const unsigned char *fetch(Source *source, size_t begin, size_t n, size_t width, unsigned char *scratch);

/* --- figures of an optimizer's state */

typedef struct { /* update_rules.Coefficients and what kernels.Formula adds */
    double numerator, divisor, inner_epsilon, epsilon, first_correction, decay, start;
    int has_root, is_adaptive, is_stored; /* is_stored: the first moment is the step itself */
    double step_divisor, step_factor, denominator_factor, outer_factor; /* update_rules.StepOrder */
} Coefficients;

typedef struct { /* summaries.Piece, where the fields are explained */
    int64_t touched, untouched, nonfinite, negative, epsilon_dominated, lost;
    double lr_min, lr_max, under_min, under_max, update_max, ratio_max;
    double lr_sum, update_squares, value_squares, first_squares, second_sum, ratio_squares;
} Figures;

enum { VALUE, FIRST, SECOND, MAXIMUM, MEAN, SOURCES }; /* the fields of update_rules.State, in their order */

typedef enum {
    UNDER_SECOND,  /* the root is of the second moment */
    UNDER_MAXIMUM, /* of its maximum */
    UNDER_CENTERED /* of the second moment less the square of the mean gradient */
} Under;

/* Counts of a stretch in several lanes, in turn: one and the same bin, counted again at once, would have to wait until its
 * count has been written. */
enum { LANES = 4, NOWHERE = FINE_BINS }; /* NOWHERE: the number of the bin of what is not counted, in which anything may be */
typedef struct {
    uint32_t lanes[LANES][FINE_BINS + 16]; /* each at a multiple of 64 bytes */
} LaneCounts;

#define LANES_SIZE (2 * sizeof(LaneCounts)) /* of E, and of what is under the root */
#define SCRATCH (LANES_SIZE + (size_t)SOURCES * CHUNK * sizeof(double))

typedef struct { /* a stretch of a tensor */
    Dtype dtype;
    Coefficients c;
    Source sources[SOURCES];
    Under under;
    size_t size;
    unsigned char *scratch; /* SOURCES times CHUNK elements, if anything is read */
    void *lr;               /* receives E of float32 or float64; NULL if nobody wants it */
    int64_t *lr_counts, *under_counts; /* (FINE_BINS,) that are added to, or both NULL */
    int64_t *half_counts;              /* (HALVES,) of what is under the root, by its bits, that are added to; or NULL */
    void *lanes;                       /* LANES_SIZE bytes, all counts 0 before and afterwards; or NULL */
    unsigned char *rows; /* set to 1 for each row in which something differs from `start`; NULL if nobody wants it */
    int64_t row_length, first; /* elements of a row; flat index of the first element */
    const int64_t *places;     /* elements that are wanted themselves, ascending, from the first of the stretch */
    size_t place_count;
    unsigned char *samples; /* (SOURCES, place_count) of the elements' own type */
} Stretch;

/* Whether all could be read. */
BETWEEN_FILES int measure_stretch(Stretch *stretch, Figures *figures);

typedef struct { /* update_rules.Norms */
    double value, direction, product;
} Norms;

/* The sums over a stretch's weights and the step before its outer factor. Whether all could be read. */
BETWEEN_FILES int norms_of_stretch(Stretch *stretch, Norms *norms);

/* --- small tensors */

enum { MOST_SMALL = 1 << 14 }; /* elements: summaries.EXACT_ELEMENTS */

typedef struct { /* a tensor of at most MOST_SMALL elements, of float32 or float64 */
    Dtype dtype;
    Under under;
    size_t size, formula; /* the place of its coefficients */
    int64_t rows;         /* 0 if they are not told apart */
    Source sources[SOURCES];
} SmallTensor;

typedef struct { /* what many have in common, and where their figures go: a row each */
    const Coefficients *c;
    const int64_t *places;    /* (tensors, place_count), ascending, -1 beyond the last */
    const double *levels;     /* of quantiles */
    const int32_t *coarse[2]; /* (FINE_BINS,) the coarse bin of each fine one: of E, and of what is under the root */
    size_t place_count, level_count, bins[2];
    Figures *figures;
    uint32_t *checksums;   /* (tensors, SOURCES) */
    int64_t *touched_rows; /* (tensors,) 0 before */
    double *samples;       /* (tensors, SOURCES, place_count) */
    double *ranked;        /* (tensors, 2, 2, level_count): of each kind the values below and above each level's rank */
    int64_t *counts[2];    /* (tensors, bins), 0 before */
} SmallTensors;

typedef struct { /* memory for one tensor at a time; arrays of MOST_SMALL doubles */
    unsigned char *scratch, *lr, *chosen[2], *spare, *rows, *samples;
    const unsigned char *arrays[SOURCES]; /* what has been read */
} SmallRoom;

/* Whether the tensor could be read, and no E is negative or not a number: else there is nothing of use in its row. */
BETWEEN_FILES int measure_small(const SmallTensors *all, SmallTensor *tensor, const SmallRoom *room, size_t row);

/* The bin of a positive number or 0: that of the float32 towards zero, so that no value moves up into the next one. */
INLINE uint32_t bin_of(double x)
{
    const double small = x < FLT_MAX ? x : FLT_MAX;
    const float narrow = (float)small;
    return (bits_of(narrow) - ((double)narrow > small)) >> FINE_SHIFT;
}

/* Add positive finite values to the counts (FINE_BINS,) of their fine bins; NULL for none. */
BETWEEN_FILES void count_piece(const float *values, size_t size, int64_t *counts);
BETWEEN_FILES void count_doubles_piece(const double *values, size_t size, int64_t *counts);

/* --- two tensors */

typedef struct { /* distances.Distance */
    double aa, bb, ab, dd;
    uint32_t differing_bits;
} Products;

BETWEEN_FILES Products compare_piece(const float *a, const float *b, size_t size);

typedef struct { /* distances.WindowCount */
    double sum_a, sum_b;
    int64_t touched, starved, impossible;
} Window;

BETWEEN_FILES Window count_window_of_piece(const float *v1, const float *v2, size_t size, double decay, double smallest,
                                           double tolerance);

typedef struct { /* a stretch of a tensor in two files */
    Dtype dtype;
    Source sources[2];
    size_t size;
    unsigned char *scratch; /* twice CHUNK elements, and twice FINE_BINS counts */
    int has_window;
    double decay, smallest, tolerance; /* distances.Window */
    int64_t *counts[2];                /* (FINE_BINS,) of each side that are added to; NULL for none */
    Products products;
    Window window;
} PairStretch;

/* Whether all could be read. */
BETWEEN_FILES int compare_stretch(PairStretch *stretch);

#endif
