/* Figures of a block of elements of type REAL, for measure.c, which includes this once for each type and defines the names.
 * Halves come widened to float32; their updates are rounded after every operation, as their own arithmetic is.
 */

typedef struct { /* Coefficients in the elements' type */
    REAL numerator, divisor, inner, epsilon, correction, decay, kept, start, smallest;
    REAL dominated_below;
    REAL step_divisor, step_factor, denominator_factor, outer_factor, left; /* halves' */
    int is_stored, is_sane; /* is_sane: E is not negative, and falls as u grows */
} OF(Scalars);

typedef struct {
    const REAL *value, *first, *second, *under;
    REAL *lr; /* receives E; of halves, |Δ| */
    int n;
    const Waiting *waiting; /* what is to be counted meanwhile; or NULL */
} OF(Block);

typedef struct { /* what becomes `Figures` */
    int64_t touched, untouched, nonfinite, negative, epsilon_dominated, lost, with_ratio, with_update;
    double lr_sum, update_squares, value_squares, first_squares, second_sum, ratio_squares;
    UNSIGNED under_min, under_max, update_max, ratio_max; /* bits of what isn't negative, which are ordered as it is */
} OF(Totals);

INLINE UNSIGNED OF(larger)(UNSIGNED a, UNSIGNED b)
{
    return a > b ? a : b;
}

INLINE UNSIGNED OF(smaller)(UNSIGNED a, UNSIGNED b)
{
    return a < b ? a : b;
}

INLINE void OF(add_totals)(OF(Totals) *total, const OF(Totals) *some)
{
    total->touched += some->touched;
    total->untouched += some->untouched;
    total->nonfinite += some->nonfinite;
    total->negative += some->negative;
    total->epsilon_dominated += some->epsilon_dominated;
    total->lost += some->lost;
    total->with_ratio += some->with_ratio;
    total->with_update += some->with_update;
    total->lr_sum += some->lr_sum;
    total->update_squares += some->update_squares;
    total->value_squares += some->value_squares;
    total->first_squares += some->first_squares;
    total->second_sum += some->second_sum;
    total->ratio_squares += some->ratio_squares;
    total->under_min = OF(smaller)(total->under_min, some->under_min);
    total->under_max = OF(larger)(total->under_max, some->under_max);
    total->update_max = OF(larger)(total->update_max, some->update_max);
    total->ratio_max = OF(larger)(total->ratio_max, some->ratio_max);
}

/* x, or 0 if the condition doesn't hold; by its bits, because GCC 12 vectorises `condition ? x / y : 0` wrongly. */
INLINE REAL OF(kept_if)(int condition, REAL x)
{
    return FROM_BITS(TO_BITS(x) & ((UNSIGNED)0 - (UNSIGNED)condition));
}

INLINE int OF(is_finite)(REAL x)
{
    return ABS(x) < (REAL)INFINITY;
}

INLINE OF(Scalars) OF(scalars_without_bound)(const Coefficients *c, Half half)
{
    (void)half;
    OF(Scalars) s = {.numerator = (REAL)c->numerator, .divisor = (REAL)c->divisor, .inner = (REAL)c->inner_epsilon,
                     .epsilon = (REAL)c->epsilon, .decay = (REAL)c->decay, .start = (REAL)c->start,
                     .step_divisor = (REAL)c->step_divisor, .step_factor = (REAL)c->step_factor,
                     .denominator_factor = (REAL)c->denominator_factor, .outer_factor = (REAL)c->outer_factor,
                     .is_stored = c->is_stored, .is_sane = is_sane(c)};
    s.smallest = s.inner > 0 ? s.inner : s.epsilon;
    s.correction = 1 / (REAL)c->first_correction;
    s.kept = ABS(1 / (1 - s.decay));
    s.left = ROUNDED(1 - s.decay, half);
    return s;
}

/* The root of what is under it, and the step before its outer factor, by the order of operations of the implementation. */
INLINE REAL OF(root)(const OF(Scalars) *s, REAL u, Denominator denominator)
{
    if (denominator == ROOT_OF_SECOND)
        return SQRT(u);
    const REAL corrected = u / s->divisor;
    return denominator == ROOT ? SQRT(corrected + s->inner) : corrected;
}

INLINE REAL OF(direction)(const OF(Scalars) *s, REAL m, REAL root, Denominator denominator)
{
    const REAL step = s->step_factor * (m / s->step_divisor);
    return denominator == CONSTANT ? step : step / (s->denominator_factor * (root + s->epsilon));
}

/* The least u of which the root is not below epsilon; it grows with u. */
INLINE REAL OF(dominated_below)(const OF(Scalars) *s, Denominator denominator)
{
    UNSIGNED low = 0, high = EXPONENT;
    while (low < high) {
        const UNSIGNED middle = low + (high - low) / 2;
        const REAL u = FROM_BITS(middle);
        if ((s->inner > 0 ? u / s->divisor : OF(root)(s, u, denominator)) < s->smallest)
            low = middle + 1;
        else
            high = middle;
    }
    return denominator == CONSTANT ? 0 : FROM_BITS(low);
}

INLINE OF(Scalars) OF(scalars_of)(const Coefficients *c, Denominator denominator, Half half)
{
    OF(Scalars) s = OF(scalars_without_bound)(c, half);
    s.dominated_below = OF(dominated_below)(&s, denominator);
    return s;
}

/* Steps of halves before their outer factor, in the order of operations of the implementation; `below` is room. What changes
 * nothing is left out. */
INLINE void OF(set_directions)(const OF(Scalars) *s, const OF(Block) *b, REAL *step, REAL *below, Denominator denominator,
                               const Half half)
{
    const REAL *const first = b->first, *const under = b->under;
    const REAL step_divisor = s->step_divisor, step_factor = s->step_factor, divisor = s->divisor, inner = s->inner;
    const REAL epsilon = s->epsilon, denominator_factor = s->denominator_factor;
    const int n = b->n;
#define EACH _Pragma("omp simd") for (int i = 0; i < n; i++)
    if (step_divisor != 1)
        EACH step[i] = ROUNDED(first[i] / step_divisor, half);
    else
        EACH step[i] = first[i];
    if (step_factor != 1)
        EACH step[i] = ROUNDED(step_factor * step[i], half);
    if (denominator == CONSTANT)
        return;
    if (divisor != 1)
        EACH below[i] = ROUNDED(under[i] / divisor, half);
    else
        EACH below[i] = under[i];
    if (inner != 0)
        EACH below[i] = ROUNDED(below[i] + inner, half);
    if (denominator != NO_ROOT)
        EACH below[i] = ROUNDED(SQRT(below[i]), half);
    EACH below[i] = ROUNDED(below[i] + epsilon, half);
    if (denominator_factor != 1)
        EACH below[i] = ROUNDED(denominator_factor * below[i], half);
    EACH step[i] = ROUNDED(step[i] / below[i], half);
}

/* |Δ| of halves. */
INLINE void OF(set_updates)(const OF(Scalars) *s, const OF(Block) *b, Denominator denominator, const Half half)
{
    REAL below[BLOCK];
    REAL *const step = b->lr;
    const REAL *const value = b->value, *const first = b->first;
    const REAL outer = s->outer_factor, decay = s->decay, left = s->left;
    const int n = b->n;
    if (s->is_stored)
        EACH step[i] = first[i];
    else
        OF(set_directions)(s, b, step, below, denominator, half);
    if (!s->is_stored && outer != 1)
        EACH step[i] = ROUNDED(outer * step[i], half);
    if (decay != 0)
        EACH step[i] = ROUNDED(step[i] + ROUNDED(decay * ROUNDED(ROUNDED(value[i] + step[i], half) / left, half), half), half);
    EACH step[i] = ABS(step[i]);
#undef EACH
}

/* Figures of a block of any elements; E of each goes to `lr`. Of halves E is left out: it follows from how often each number
 * stands under the root; and |Δ| is in `lr` already. */
INLINE void OF(measure_block)(const OF(Scalars) *s, const OF(Block) *b, OF(Totals) *total, const Denominator denominator,
                             const Half half)
{
    const REAL *const value = b->value, *const first = b->first, *const second = b->second, *const under = b->under;
    REAL *const lr = b->lr;
    const REAL numerator = s->numerator, divisor = s->divisor, inner = s->inner, epsilon = s->epsilon, start = s->start;
    const REAL smallest = s->smallest, correction = s->correction, decay = s->decay, kept = s->kept;
    const int is_stored = s->is_stored;
    SIGNED touched = 0, untouched = 0, nonfinite = 0, negative = 0, dominated = 0, lost = 0, with_ratio = 0;
    SIGNED with_update = 0;
    double lr_sum = 0, update_squares = 0, value_squares = 0, first_squares = 0, second_sum = 0, ratio_squares = 0;
    UNSIGNED under_min = (UNSIGNED)-1, under_max = 0, update_max = 0, ratio_max = 0;

#pragma omp simd reduction(+ : touched, untouched, nonfinite, negative, dominated, lost, with_ratio, with_update) \
    reduction(+ : lr_sum, update_squares, value_squares, first_squares, second_sum, ratio_squares) \
    reduction(min : under_min) reduction(max : under_max, update_max, ratio_max)
    for (int i = 0; i < b->n; i++) {
        const REAL w = value[i], m = first[i], v = second[i];
        const REAL u = denominator == ROOT_OF_SECOND ? v : under[i];
        const int finite = (OF(is_finite)(w) & OF(is_finite)(m) & OF(is_finite)(v) & OF(is_finite)(u));
        const int is_touched = ((u > 0) & (u < (REAL)INFINITY) & (u != start));
        touched += is_touched;
        untouched += u == start;
        nonfinite += !finite;
        negative += u < 0;

        const double wide_w = OF(kept_if)(finite, w), wide_m = OF(kept_if)(finite, m), wide_v = OF(kept_if)(finite, v);
        value_squares += wide_w * wide_w;
        first_squares += wide_m * wide_m;
        second_sum += wide_v;

        const REAL root_v = denominator == NO_ROOT ? v : SQRT(v);
        const int has_ratio = (finite & (v > 0));
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
            lr_sum += OF(kept_if)(is_touched, e);
            const UNSIGNED least = TO_BITS(OF(kept_if)(is_touched, u)), most = least - !is_touched;
            under_min = most < under_min ? most : under_min;
            under_max = least > under_max ? least : under_max;
            /* |E·m/c1 + d·θ|/(1 - d), which is what solving for the weights before a decay of d comes to */
            size = ABS((is_stored ? m : e * m * correction) + decay * w) * kept;
        } else {
            size = lr[i];
        }
        const int has_moved = finite & (size < (REAL)INFINITY);
        const REAL update = OF(kept_if)(has_moved, size);
        update_squares += (double)update * update;
        with_update += has_moved;
        update_max = TO_BITS(update) > update_max ? TO_BITS(update) : update_max;
        lost += has_moved & (update >= SMALLEST_UPDATE(half)) & (update < OF(half_ulp)(w, half));
    }
    const OF(Totals) sum = {touched, untouched, nonfinite, negative, dominated, lost, with_ratio, with_update, lr_sum,
                            update_squares, value_squares, first_squares, second_sum, ratio_squares, under_min, under_max,
                            update_max, ratio_max};
    OF(add_totals)(total, &sum);
}

/* What is added up of a block side by side, the elements in turn: as many at a time as the widest registers hold. Sums are so
 * the same whatever the registers are. */
enum { OF(SIDES) = 64 / sizeof(REAL) };

typedef struct {
    double lr_sum[OF(SIDES)], update_squares[OF(SIDES)], value_squares[OF(SIDES)], first_squares[OF(SIDES)];
    double second_sum[OF(SIDES)], ratio_squares[OF(SIDES)];
    UNSIGNED under_min[OF(SIDES)], under_max[OF(SIDES)], second_min[OF(SIDES)], second_max[OF(SIDES)];
    UNSIGNED value_max[OF(SIDES)], first_max[OF(SIDES)], update_max[OF(SIDES)], ratio_max[OF(SIDES)], lr_max[OF(SIDES)];
    SIGNED lost[OF(SIDES)];
    int started[OF(SIDES)]; /* whether something is under the root that was there before the first gradient */
} OF(Sides);

/* Add element i, of which nothing is known, as if it were touched and finite. */
INLINE void OF(add_clean)(const OF(Scalars) *s, const OF(Block) *b, size_t i, OF(Sides) *t, size_t side,
                          const Denominator denominator, const Half half)
{
    const REAL w = b->value[i], m = b->first[i], v = b->second[i], u = denominator == ROOT_OF_SECOND ? v : b->under[i];
    const double wide_w = w, wide_m = m;
    t->value_squares[side] += wide_w * wide_w;
    t->first_squares[side] += wide_m * wide_m;
    t->second_sum[side] += v;

    const int is_squared = HAS_SQUARED_RATIO(denominator);
    const REAL root_v = denominator == NO_ROOT ? v : is_squared ? 0 : SQRT(v);
    const REAL ratio = is_squared ? m * m / v : ABS(m) / root_v;
    t->first_max[side] = OF(larger)(t->first_max[side], TO_BITS(ABS(m)));
    t->ratio_squares[side] += is_squared ? (double)ratio : (double)ratio * ratio;
    t->ratio_max[side] = OF(larger)(t->ratio_max[side], TO_BITS(ratio));

    t->under_min[side] = OF(smaller)(t->under_min[side], TO_BITS(u));
    t->under_max[side] = OF(larger)(t->under_max[side], TO_BITS(u));
    t->started[side] |= u == s->start;
    if (denominator != ROOT_OF_SECOND) {
        t->second_min[side] = OF(smaller)(t->second_min[side], TO_BITS(v));
        t->second_max[side] = OF(larger)(t->second_max[side], TO_BITS(v));
    }
    t->value_max[side] = OF(larger)(t->value_max[side], TO_BITS(w) & EXPONENT);

    REAL update;
    if (half == NO_HALF) {
        const REAL corrected = denominator == ROOT_OF_SECOND ? u : u / s->divisor;
        const REAL root = denominator == ROOT      ? SQRT(corrected + s->inner)
                          : denominator == NO_ROOT ? corrected
                                                   : root_v;
        const REAL e = denominator == CONSTANT ? s->numerator : s->numerator / (root + s->epsilon);
        b->lr[i] = e;
        t->lr_sum[side] += e;
        t->lr_max[side] = OF(larger)(t->lr_max[side], TO_BITS(e)); /* whatever the scalars: its bits number a bin */
        update = ABS((s->is_stored ? m : e * m * s->correction) + s->decay * w) * s->kept;
    } else {
        update = b->lr[i];
    }
    t->update_squares[side] += (double)update * update;
    t->update_max[side] = OF(larger)(t->update_max[side], TO_BITS(update));
    t->lost[side] += (update >= SMALLEST_UPDATE(half)) & (update < OF(half_ulp)(w, half));
}

/* The figures of `measure_block` of a block in which all elements are touched and finite, and their updates as well; for any
 * other, 0 is returned and nothing is added. Extremes tell which it is: no element is looked at for it alone.
 *
 * Meanwhile the block before is counted: counting waits for the cache, and divisions and roots for each other. */
INLINE int OF(measure_clean)(const OF(Scalars) *scalars, const OF(Block) *block, OF(Totals) *total, const Denominator denominator,
                             const Half half)
{
    enum { SIDES = OF(SIDES) };
    const OF(Scalars) s = *scalars; /* that the loop writes nothing which could be in there */
    const OF(Block) b = *block;
    OF(Sides) t = {.lost = {0}};
    for (int side = 0; side < SIDES; side++)
        t.under_min[side] = t.second_min[side] = (UNSIGNED)-1;

    const size_t n = (size_t)b.n;
    size_t i = 0; /* as wide as an address: a sum of ints may have to wrap around, by a compiler's options, and isn't vectorised then */
    for (; i + SIDES <= n; i += SIDES) {
#pragma omp simd
        for (size_t side = 0; side < SIDES; side++)
            OF(add_clean)(&s, &b, i + side, &t, side, denominator, half);
        if (half == NO_HALF)
            COUNT_WAITING(b.waiting, (int)i, SIDES);
    }
    if (half == NO_HALF)
        COUNT_WAITING(b.waiting, (int)i, BLOCK - (int)i);
    for (; i < n; i++)
        OF(add_clean)(&s, &b, i, &t, 0, denominator, half);

    OF(Totals) sum = {.under_min = (UNSIGNED)-1};
    UNSIGNED second_min = (UNSIGNED)-1, second_max = 0, value_max = 0, first_max = 0, lr_max = 0;
    int started = 0;
    for (int side = 0; side < SIDES; side++) {
        sum.lost += t.lost[side];
        sum.lr_sum += t.lr_sum[side];
        sum.update_squares += t.update_squares[side];
        sum.value_squares += t.value_squares[side];
        sum.first_squares += t.first_squares[side];
        sum.second_sum += t.second_sum[side];
        sum.ratio_squares += t.ratio_squares[side];
        sum.under_min = OF(smaller)(sum.under_min, t.under_min[side]);
        sum.under_max = OF(larger)(sum.under_max, t.under_max[side]);
        sum.update_max = OF(larger)(sum.update_max, t.update_max[side]);
        sum.ratio_max = OF(larger)(sum.ratio_max, t.ratio_max[side]);
        second_min = OF(smaller)(second_min, t.second_min[side]);
        second_max = OF(larger)(second_max, t.second_max[side]);
        value_max = OF(larger)(value_max, t.value_max[side]);
        first_max = OF(larger)(first_max, t.first_max[side]);
        lr_max = OF(larger)(lr_max, t.lr_max[side]);
        started |= t.started[side];
    }
    if (denominator != ROOT_OF_SECOND && (second_min == 0 || second_max >= EXPONENT))
        return 0;
    if (HAS_SQUARED_RATIO(denominator)) {
        if (second_min < TO_BITS(LEAST_SQUARED) || second_max > TO_BITS(MOST_SQUARED) || first_max > TO_BITS(MOST_SQUARED))
            return 0;
        sum.ratio_max = TO_BITS(SQRT(FROM_BITS(sum.ratio_max)));
    }
    if (!sum.under_min || sum.under_max >= EXPONENT || started || value_max >= EXPONENT || first_max >= EXPONENT ||
        sum.update_max >= EXPONENT || lr_max > EXPONENT)
        return 0;
    if (half == NO_HALF && FROM_BITS(sum.under_min) < s.dominated_below) { /* most blocks have none */
        const REAL below = s.dominated_below;
        SIGNED dominated = 0;
#pragma omp simd reduction(+ : dominated)
        for (int j = 0; j < b.n; j++)
            dominated += (denominator == ROOT_OF_SECOND ? b.second[j] : b.under[j]) < below;
        sum.epsilon_dominated = dominated;
    }
    sum.touched = sum.with_ratio = sum.with_update = b.n;
    OF(add_totals)(total, &sum);
    return 1;
}

/* Each kind of block has its own loop. Return whether all elements are touched and finite, and E of all is positive or 0. */
INLINE int OF(measure_any_block)(const OF(Scalars) *s, const OF(Block) *b, OF(Totals) *total, Denominator denominator,
                                 const Half half)
{
    int is_clean = 0;
#define MEASURE(kind) \
    do { \
        if (half != NO_HALF || s->is_sane) \
            is_clean = OF(measure_clean)(s, b, total, kind, half); \
        if (!is_clean) \
            OF(measure_block)(s, b, total, kind, half); \
    } while (0)
    if (half != NO_HALF)
        OF(set_updates)(s, b, denominator, half);
    if (denominator == NO_ROOT)
        MEASURE(NO_ROOT);
    else if (denominator == ROOT || half != NO_HALF)
        MEASURE(ROOT);
    else if (denominator == ROOT_OF_SECOND)
        MEASURE(ROOT_OF_SECOND);
    else
        MEASURE(CONSTANT);
#undef MEASURE
    return is_clean;
}

/* The sums of `Norms`. */
INLINE void OF(add_norms)(const OF(Scalars) *s, const OF(Block) *b, Norms *norms, Denominator denominator, const Half half)
{
    const REAL *const value = b->value, *const first = b->first, *const under = b->under;
    REAL room[2][BLOCK];
    double values = 0, directions = 0, products = 0;
#define ADD(direction) \
    _Pragma("omp simd reduction(+ : values, directions, products)") for (int i = 0; i < b->n; i++) \
    { \
        const double w = value[i], d = direction; \
        values += w * w; \
        directions += d * d; \
        products += w * d; \
    }
#define DIRECTION(kind) OF(direction)(s, first[i], OF(root)(s, under[i], kind), kind)
    if (half != NO_HALF) {
        OF(set_directions)(s, b, room[0], room[1], denominator, half);
        ADD(room[0][i])
    } else if (denominator == NO_ROOT)
        ADD(DIRECTION(NO_ROOT))
    else if (denominator == CONSTANT)
        ADD(DIRECTION(CONSTANT))
    else
        ADD(DIRECTION(ROOT))
#undef DIRECTION
#undef ADD
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
        /* E falls as u grows, in floating point too: each operation is correctly rounded; see is_sane */
        f->lr_min = OF(effective_lr)(s, FROM_BITS(t->under_max), denominator);
        f->lr_max = OF(effective_lr)(s, FROM_BITS(t->under_min), denominator);
    }
    if (t->with_update)
        f->update_max = FROM_BITS(t->update_max);
    if (t->with_ratio)
        f->ratio_max = FROM_BITS(t->ratio_max);
}
