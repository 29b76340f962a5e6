/* Figures of a block of elements of type REAL, for measure.c, which includes this once for each type and defines the names.
 * Halves come widened to float32, and are rounded after every operation as their own arithmetic is.
 */

typedef struct { /* Coefficients in the elements' type */
    REAL numerator, divisor, inner, epsilon, correction, decay, kept, start, smallest;
    REAL step_divisor, step_factor, denominator_factor, outer_factor, left; /* halves' */
    int is_stored, has_decay;
} OF(Scalars);

typedef struct {
    const REAL *value, *first, *second, *under;
    REAL *lr;
    int n;
} OF(Block);

typedef struct { /* what becomes `Figures` */
    int64_t touched, untouched, nonfinite, negative, epsilon_dominated, lost, with_ratio, with_update;
    double lr_sum, update_squares, value_squares, first_squares, second_sum, ratio_squares;
    UNSIGNED under_min, under_max, update_max, ratio_max; /* bits of what isn't negative, which are ordered as it is */
} OF(Totals);

/* x, or 0 if the condition doesn't hold; by its bits, because GCC 12 vectorises `condition ? x / y : 0` wrongly. */
INLINE REAL OF(kept_if)(int condition, REAL x)
{
    return FROM_BITS(TO_BITS(x) & ((UNSIGNED)0 - (UNSIGNED)condition));
}

INLINE int OF(is_finite)(REAL x)
{
    return ABS(x) < (REAL)INFINITY;
}

INLINE OF(Scalars) OF(scalars_of)(const Coefficients *c, Half half)
{
    (void)half;
    OF(Scalars) s = {.numerator = (REAL)c->numerator, .divisor = (REAL)c->divisor, .inner = (REAL)c->inner_epsilon,
                     .epsilon = (REAL)c->epsilon, .decay = (REAL)c->decay, .start = (REAL)c->start,
                     .step_divisor = (REAL)c->step_divisor, .step_factor = (REAL)c->step_factor,
                     .denominator_factor = (REAL)c->denominator_factor, .outer_factor = (REAL)c->outer_factor,
                     .is_stored = c->is_stored, .has_decay = c->decay != 0};
    s.smallest = s.inner > 0 ? s.inner : s.epsilon;
    s.correction = 1 / (REAL)c->first_correction;
    s.kept = ABS(1 / (1 - s.decay));
    s.left = ROUNDED(1 - s.decay, half);
    return s;
}

/* Whether every element has finite weights and moments, and something positive under the root that isn't the start. */
INLINE int OF(is_clean)(const OF(Block) *b, REAL start)
{
    const REAL *const value = b->value, *const first = b->first, *const second = b->second, *const under = b->under;
    UNSIGNED odd = 0;
#pragma omp simd reduction(| : odd)
    for (int i = 0; i < b->n; i++) {
        odd |= (TO_BITS(value[i]) & EXPONENT) == EXPONENT;
        odd |= (TO_BITS(first[i]) & EXPONENT) == EXPONENT;
        odd |= TO_BITS(second[i]) - 1 >= EXPONENT - 1; /* not in (0, inf) */
        odd |= TO_BITS(under[i]) - 1 >= EXPONENT - 1;
        odd |= under[i] == start;
    }
    return !odd;
}

/* The root of what is under it, and the step before its outer factor, by the order of operations of the implementation. */
INLINE REAL OF(root)(const OF(Scalars) *s, REAL u, Denominator denominator, Half half)
{
    if (denominator == ROOT_OF_SECOND)
        return ROUNDED(SQRT(u), half);
    const REAL corrected = ROUNDED(u / s->divisor, half);
    return denominator == ROOT ? ROUNDED(SQRT(ROUNDED(corrected + s->inner, half)), half) : corrected;
}

INLINE REAL OF(direction)(const OF(Scalars) *s, REAL m, REAL root, Denominator denominator, Half half)
{
    const REAL step = ROUNDED(s->step_factor * ROUNDED(m / s->step_divisor, half), half);
    if (denominator == CONSTANT)
        return step;
    return ROUNDED(step / ROUNDED(s->denominator_factor * ROUNDED(root + s->epsilon, half), half), half);
}

/* |Δ| in that order. */
INLINE REAL OF(update)(const OF(Scalars) *s, REAL w, REAL m, REAL root, Denominator denominator, Half half)
{
    const REAL ordered = ROUNDED(s->outer_factor * OF(direction)(s, m, root, denominator, half), half);
    const REAL step = s->is_stored ? m : ordered;
    const REAL before = ROUNDED(ROUNDED(w + step, half) / s->left, half);
    const REAL decayed = ROUNDED(step + ROUNDED(s->decay * before, half), half);
    return ABS(s->has_decay ? decayed : step);
}

/* Figures of a block; E of its elements goes to `lr`, and whether none of them is negative or NaN is returned. Of halves E
 * is left out: it follows from how often each number stands under the root. */
INLINE int OF(measure_block)(const OF(Scalars) *s, const OF(Block) *b, OF(Totals) *total, const int all_clean,
                             const Denominator denominator, const Half half)
{
    const REAL *const value = b->value, *const first = b->first, *const second = b->second, *const under = b->under;
    REAL *const lr = b->lr;
    const REAL numerator = s->numerator, divisor = s->divisor, inner = s->inner, epsilon = s->epsilon, start = s->start;
    const REAL smallest = s->smallest, correction = s->correction, decay = s->decay, kept = s->kept;
    const int is_stored = s->is_stored;
    SIGNED touched = 0, untouched = 0, nonfinite = 0, negative = 0, dominated = 0, lost = 0, with_ratio = 0;
    SIGNED with_update = 0;
    double lr_sum = 0, update_squares = 0, value_squares = 0, first_squares = 0, second_sum = 0, ratio_squares = 0;
    UNSIGNED odd = 0, under_min = (UNSIGNED)-1, under_max = 0, update_max = 0, ratio_max = 0;

#pragma omp simd reduction(| : odd) \
    reduction(+ : touched, untouched, nonfinite, negative, dominated, lost, with_ratio, with_update) \
    reduction(+ : lr_sum, update_squares, value_squares, first_squares, second_sum, ratio_squares) \
    reduction(min : under_min) reduction(max : under_max, update_max, ratio_max)
    for (int i = 0; i < b->n; i++) {
        const REAL w = value[i], m = first[i], v = second[i], u = denominator == ROOT_OF_SECOND ? v : under[i];
        const int finite = all_clean || (OF(is_finite)(w) & OF(is_finite)(m) & OF(is_finite)(v) & OF(is_finite)(u));
        const int is_touched = all_clean || ((u > 0) & (u < (REAL)INFINITY) & (u != start));
        if (!all_clean) {
            touched += is_touched;
            untouched += u == start;
            nonfinite += !finite;
            negative += u < 0;
        }

        const double wide_w = OF(kept_if)(finite, w), wide_m = OF(kept_if)(finite, m), wide_v = OF(kept_if)(finite, v);
        value_squares += wide_w * wide_w;
        first_squares += wide_m * wide_m;
        second_sum += wide_v;

        const REAL root_v = denominator == NO_ROOT ? v : SQRT(v);
        const int has_ratio = all_clean || (finite & (v > 0));
        const REAL ratio = OF(kept_if)(has_ratio, ABS(m) / root_v);
        ratio_squares += (double)ratio * ratio;
        with_ratio += has_ratio;
        ratio_max = TO_BITS(ratio) > ratio_max ? TO_BITS(ratio) : ratio_max;

        REAL size;
        if (half == NO_HALF) {
            const REAL corrected = denominator == ROOT_OF_SECOND ? u : u / divisor;
            const REAL root = denominator == ROOT      ? SQRT(corrected + inner)
                              : denominator == NO_ROOT ? corrected
                                                       : root_v;
            if (denominator != CONSTANT)
                dominated += is_touched & ((inner > 0 ? corrected : root) < smallest);
            const REAL e = denominator == CONSTANT ? numerator : numerator / (root + epsilon);
            lr[i] = e;
            odd |= TO_BITS(e) > EXPONENT; /* negative, or not a number */
            lr_sum += OF(kept_if)(is_touched, e);
            const UNSIGNED least = TO_BITS(OF(kept_if)(is_touched, u)), most = least - !is_touched;
            under_min = most < under_min ? most : under_min;
            under_max = least > under_max ? least : under_max;
            /* |E·m/c1 + d·θ|/(1 - d), which is what solving for the weights before a decay of d comes to */
            size = ABS((is_stored ? m : e * m * correction) + decay * w) * kept;
        } else {
            size = OF(update)(s, w, m, OF(root)(s, u, denominator, half), denominator, half);
        }
        const int has_moved = finite & (size < (REAL)INFINITY);
        const REAL update = OF(kept_if)(has_moved, size);
        update_squares += (double)update * update;
        with_update += has_moved;
        update_max = TO_BITS(update) > update_max ? TO_BITS(update) : update_max;
        lost += has_moved & (update >= SMALLEST_UPDATE(half)) & (update < OF(half_ulp)(w, half));
    }
    if (all_clean)
        touched = b->n;
    total->touched += touched;
    total->untouched += untouched;
    total->nonfinite += nonfinite;
    total->negative += negative;
    total->epsilon_dominated += dominated;
    total->lost += lost;
    total->lr_sum += lr_sum;
    total->update_squares += update_squares;
    total->value_squares += value_squares;
    total->first_squares += first_squares;
    total->second_sum += second_sum;
    total->ratio_squares += ratio_squares;
    total->with_ratio += with_ratio;
    total->with_update += with_update;
    total->under_min = under_min < total->under_min ? under_min : total->under_min;
    total->under_max = under_max > total->under_max ? under_max : total->under_max;
    total->update_max = update_max > total->update_max ? update_max : total->update_max;
    total->ratio_max = ratio_max > total->ratio_max ? ratio_max : total->ratio_max;
    return !odd;
}

/* Each kind of block has its own loop. Return 0 unless all elements are touched and finite, 2 if none of them has an E that
 * is negative or NaN, else 1. Halves are not worth two loops. */
INLINE int OF(measure_any_block)(const OF(Scalars) *s, const OF(Block) *b, OF(Totals) *total, Denominator denominator,
                                 const Half half)
{
    const int is_clean = OF(is_clean)(b, s->start);
    int has_no_signs = 0;
#define OF_EACH_KIND(clean) \
    (denominator == ROOT_OF_SECOND ? OF(measure_block)(s, b, total, clean, ROOT_OF_SECOND, half) \
     : denominator == ROOT         ? OF(measure_block)(s, b, total, clean, ROOT, half) \
     : denominator == NO_ROOT      ? OF(measure_block)(s, b, total, clean, NO_ROOT, half) \
                                   : OF(measure_block)(s, b, total, clean, CONSTANT, half))
    if (is_clean && half == NO_HALF)
        has_no_signs = OF_EACH_KIND(1);
    else
        (void)OF_EACH_KIND(0);
#undef OF_EACH_KIND
    return is_clean + has_no_signs;
}

/* The sums of `Norms`. */
INLINE void OF(add_norms)(const OF(Scalars) *s, const OF(Block) *b, Norms *norms, Denominator denominator, const Half half)
{
    const REAL *const value = b->value, *const first = b->first, *const under = b->under;
    double values = 0, directions = 0, products = 0;
#define OF_KIND(kind) \
    _Pragma("omp simd reduction(+ : values, directions, products)") for (int i = 0; i < b->n; i++) \
    { \
        const double w = value[i]; \
        const double d = OF(direction)(s, first[i], OF(root)(s, under[i], kind, half), kind, half); \
        values += w * w; \
        directions += d * d; \
        products += w * d; \
    }
    if (denominator == NO_ROOT)
        OF_KIND(NO_ROOT)
    else if (denominator == CONSTANT)
        OF_KIND(CONSTANT)
    else
        OF_KIND(ROOT)
#undef OF_KIND
    norms->value += values;
    norms->direction += directions;
    norms->product += products;
}

INLINE REAL OF(effective_lr)(const OF(Scalars) *s, REAL u, Denominator denominator)
{
    if (denominator == CONSTANT)
        return s->numerator;
    const REAL corrected = u / s->divisor;
    return s->numerator / ((denominator == NO_ROOT ? corrected : SQRT(corrected + s->inner)) + s->epsilon);
}

static void OF(add_figures)(const OF(Totals) *t, const OF(Scalars) *s, Denominator denominator, Half half, Figures *f)
{
    *f = (Figures){.touched = t->touched, .untouched = t->untouched, .nonfinite = t->nonfinite, .negative = t->negative,
                   .epsilon_dominated = t->epsilon_dominated, .lost = t->lost, .lr_sum = t->lr_sum,
                   .update_squares = t->update_squares, .value_squares = t->value_squares,
                   .first_squares = t->first_squares, .second_sum = t->second_sum, .ratio_squares = t->ratio_squares,
                   .lr_min = INFINITY, .lr_max = -INFINITY, .under_min = INFINITY, .under_max = -INFINITY,
                   .update_max = -INFINITY, .ratio_max = -INFINITY};
    if (t->touched && half == NO_HALF) {
        f->under_min = FROM_BITS(t->under_min);
        f->under_max = FROM_BITS(t->under_max);
        /* E falls as u grows, in floating point too: each operation is correctly rounded; see Formula.is_fast */
        f->lr_min = OF(effective_lr)(s, FROM_BITS(t->under_max), denominator);
        f->lr_max = OF(effective_lr)(s, FROM_BITS(t->under_min), denominator);
    }
    if (t->with_update)
        f->update_max = FROM_BITS(t->update_max);
    if (t->with_ratio)
        f->ratio_max = FROM_BITS(t->ratio_max);
}
