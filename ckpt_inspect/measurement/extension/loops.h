/* The loops over float32 elements, without Python: what loops.c computes and module.c hands over. */
#ifndef CKPT_INSPECT_LOOPS_H
#define CKPT_INSPECT_LOOPS_H

#include <stddef.h>
#include <stdint.h>

enum { FINE_SHIFT = 17 }; /* histograms.FINE_SHIFT */
#define FINE_BINS (1 << (31 - FINE_SHIFT))

#if defined(__GNUC__)
#define BETWEEN_FILES __attribute__((visibility("hidden")))
#else
#define BETWEEN_FILES
#endif

typedef struct { /* update_rules.Coefficients */
    float numerator, divisor, inner_epsilon, epsilon, first_correction, decay;
    int has_root;
} Coefficients;

typedef struct { /* summaries.Piece, where the fields are explained */
    int64_t touched, untouched, nonfinite, negative, epsilon_dominated, lost;
    double lr_min, lr_max, under_min, under_max, update_max, ratio_max;
    double lr_sum, update_squares, value_squares, first_squares, second_sum, ratio_squares;
} Figures;

/* Figures of arrays of `size` elements, `under` being what is under the root. `value` may be NULL, and so may both counts,
 * (FINE_BINS,), which are added to; `lr` receives E, and is NULL if nobody wants it. */
BETWEEN_FILES Figures measure_piece(const Coefficients *c, const float *value, const float *first, const float *second,
                                    const float *under, size_t size, float *lr, int64_t *lr_counts,
                                    int64_t *under_counts);

/* Add positive finite values to the counts (FINE_BINS,) of their fine bins. */
BETWEEN_FILES void count_piece(const float *values, size_t size, int64_t *counts);

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

#endif
