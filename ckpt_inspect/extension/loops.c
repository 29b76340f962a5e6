/* The loops over elements that decide how long an analysis takes: each reads a piece of a tensor once, while it lies in
 * the cache, and leaves sums, counts and extremes behind. Float32 alone; everything else goes the ways of numpy, which
 * these loops are held against in tests/test_extension.py and, the figures, in tests/test_summaries.py.
 *
 * Elements are taken a block at a time. Within a block there are no branches, so that the compiler can use the vector
 * registers of the processor at hand; what an element doesn't take part in, it enters as zero. Every operation on
 * elements is rounded as IEEE 754 has it and as numpy does it: contraction into fused multiply-add is off (pyproject.toml).
 * Sums are of doubles.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

enum {
    BLOCK = 1024,   /* elements; the few arrays of a block fit the first-level cache */
    FINE_SHIFT = 17 /* histograms.FINE_SHIFT */
};
#define FINE_BINS (1 << (31 - FINE_SHIFT))
#define INFINITE 0x7F800000u /* exponent bits of a float32: all set in what is not finite */

/* One version of a loop for each width of vector registers, chosen when the module is loaded; -DFOR_EACH_PROCESSOR= makes
 * one alone, for the compiler's own target. */
#if !defined(FOR_EACH_PROCESSOR) && defined(__x86_64__) && defined(__GLIBC__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#endif
#ifndef FOR_EACH_PROCESSOR
#define FOR_EACH_PROCESSOR
#endif
#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

INLINE uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

INLINE float of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* x, or 0 where the condition doesn't hold; by its bits, for GCC 12 vectorises `condition ? x / y : 0` wrongly. */
INLINE float kept_if(int condition, float x)
{
    return of_bits(bits_of(x) & (0u - (uint32_t)condition));
}

INLINE int is_finite(float x)
{
    return fabsf(x) < INFINITY;
}

/* --- histograms */

/* Count values that are known to be positive or 0: the sign bit of any other would lead out of the bins. */
static void count_unsigned(const float *values, Py_ssize_t n, int64_t *counts)
{
    Py_ssize_t i = 0;
    for (; i + 2 <= n; i += 2) { /* two at a load, a tenth of the time of a piece less */
        uint64_t both;
        memcpy(&both, values + i, sizeof both);
        counts[(uint32_t)both >> FINE_SHIFT]++;
        counts[both >> (FINE_SHIFT + 32)]++;
    }
    if (i < n)
        counts[bits_of(values[i]) >> FINE_SHIFT]++;
}

/* Count values of which `gate` is positive and finite, where they are positive or 0 themselves. */
static void count_touched(const float *values, const float *gate, Py_ssize_t n, int64_t *counts)
{
    for (Py_ssize_t i = 0; i < n; i++)
        if (gate[i] > 0 && gate[i] < INFINITY && bits_of(values[i]) <= INFINITE)
            counts[bits_of(values[i]) >> FINE_SHIFT]++;
}

FOR_EACH_PROCESSOR
static int are_touched(const float *values, int n)
{
    uint32_t odd = 0;
#pragma omp simd reduction(| : odd)
    for (int i = 0; i < n; i++)
        odd |= bits_of(values[i]) - 1 >= INFINITE - 1; /* not in (0, inf) */
    return !odd;
}

static void count_piece(const float *values, Py_ssize_t size, int64_t *counts)
{
    for (Py_ssize_t start = 0; start < size; start += BLOCK) {
        const float *block = values + start;
        const int n = size - start < BLOCK ? (int)(size - start) : BLOCK;
        if (are_touched(block, n))
            count_unsigned(block, n, counts);
        else
            count_touched(block, block, n, counts);
    }
}

/* --- measure: a piece of an optimizer's state */

typedef struct { /* update_rules.Coefficients */
    float numerator, divisor, inner_epsilon, epsilon, first_correction, decay;
    int has_root;
} Coefficients;

typedef enum {
    ROOT_OF_SECOND, /* E = numerator / (sqrt(v) + epsilon) */
    ROOT,           /* E = numerator / (sqrt(u / divisor + inner_epsilon) + epsilon), u being `under` */
    NO_ROOT         /* E = numerator / (u / divisor + epsilon): v and u are norms, not squares */
} Denominator;

typedef struct { /* summaries.Piece, where the fields are explained */
    int64_t touched, untouched, nonfinite, negative, epsilon_dominated, lost, with_ratio, with_update;
    double lr_sum, update_squares, value_squares, first_squares, second_sum, ratio_squares;
    uint32_t under_min, under_max, update_max, ratio_max; /* bits of what isn't negative, which are ordered as it is */
} Figures;

/* Whether every element has finite weights and moments, and positive second moments. */
INLINE int is_clean(const float *value, const float *first, const float *second, const float *under, int n)
{
    uint32_t odd = 0;
#pragma omp simd reduction(| : odd)
    for (int i = 0; i < n; i++) {
        odd |= (bits_of(value[i]) & INFINITE) == INFINITE;
        odd |= (bits_of(first[i]) & INFINITE) == INFINITE;
        odd |= bits_of(second[i]) - 1 >= INFINITE - 1; /* not in (0, inf) */
        odd |= bits_of(under[i]) - 1 >= INFINITE - 1;
    }
    return !odd;
}

/* Figures of a block; E of its elements goes to `lr`, and whether none of them is negative or NaN is returned. */
INLINE int measure_block(const Coefficients *c, const float *value, const float *first, const float *second,
                         const float *under, int n, float *lr, Figures *total, const int all_clean,
                         const Denominator denominator)
{
    const float numerator = c->numerator, divisor = c->divisor, inner = c->inner_epsilon, epsilon = c->epsilon;
    const float smallest = inner > 0 ? inner : epsilon;
    const float correction = 1 / c->first_correction, decay = c->decay, kept = fabsf(1 / (1 - c->decay));
    int32_t touched = 0, untouched = 0, nonfinite = 0, negative = 0, dominated = 0, lost = 0, with_ratio = 0;
    int32_t with_update = 0;
    double lr_sum = 0, update_squares = 0, value_squares = 0, first_squares = 0, second_sum = 0, ratio_squares = 0;
    uint32_t odd = 0, under_min = UINT32_MAX, under_max = 0, update_max = 0, ratio_max = 0;

#pragma omp simd reduction(| : odd) \
    reduction(+ : touched, untouched, nonfinite, negative, dominated, lost, with_ratio, with_update) \
    reduction(+ : lr_sum, update_squares, value_squares, first_squares, second_sum, ratio_squares) \
    reduction(min : under_min) reduction(max : under_max, update_max, ratio_max)
    for (int i = 0; i < n; i++) {
        const float w = value[i], m = first[i], v = second[i], u = denominator == ROOT_OF_SECOND ? v : under[i];
        const int finite = all_clean || (is_finite(w) & is_finite(m) & is_finite(v) & is_finite(u));
        const int is_touched = all_clean || ((u > 0) & (u < INFINITY));
        touched += is_touched;
        untouched += u == 0;
        nonfinite += !finite;
        negative += u < 0;

        const double wide_w = kept_if(finite, w), wide_m = kept_if(finite, m), wide_v = kept_if(finite, v);
        value_squares += wide_w * wide_w;
        first_squares += wide_m * wide_m;
        second_sum += wide_v;

        const float root_v = denominator == NO_ROOT ? v : sqrtf(v);
        const int has_ratio = all_clean || (finite & (v > 0));
        const float ratio = kept_if(has_ratio, fabsf(m) / root_v);
        ratio_squares += (double)ratio * ratio;
        with_ratio += has_ratio;
        ratio_max = bits_of(ratio) > ratio_max ? bits_of(ratio) : ratio_max;

        const float corrected = denominator == ROOT_OF_SECOND ? u : u / divisor;
        const float root = denominator == ROOT ? sqrtf(corrected + inner)
                           : denominator == NO_ROOT ? corrected
                                                    : root_v;
        dominated += is_touched & ((inner > 0 ? corrected : root) < smallest);
        const float e = numerator / (root + epsilon);
        lr[i] = e;
        odd |= bits_of(e) > INFINITE; /* negative, or not a number */
        lr_sum += kept_if(is_touched, e);
        const uint32_t u_or_least = bits_of(kept_if(is_touched, u)), u_or_most = u_or_least - !is_touched;
        under_min = u_or_most < under_min ? u_or_most : under_min;
        under_max = u_or_least > under_max ? u_or_least : under_max;

        /* |E·m/c1 + d·θ|/(1 - d), which is what solving for the weights before a decay of d comes to */
        const float size = fabsf(e * m * correction + decay * w) * kept;
        const int has_moved = finite & (size < INFINITY);
        const float update = kept_if(has_moved, size);
        update_squares += (double)update * update;
        with_update += has_moved;
        update_max = bits_of(update) > update_max ? bits_of(update) : update_max;
        const float half_ulp = of_bits(bits_of(w) & INFINITE) * 0x1p-24f;
        lost += has_moved & (update >= FLT_MIN) & (update < half_ulp); /* subnormal ones were flushed to zero */
    }
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

/* Each kind of block has a loop of its own; whether what is under the root is positive, and E positive or 0, throughout. */
FOR_EACH_PROCESSOR
static int measure_any_block(const Coefficients *c, const float *value, const float *first, const float *second,
                             const float *under, int n, float *lr, Figures *total)
{
    const int is_plain = under == second && c->divisor == 1 && c->inner_epsilon == 0;
    if (is_clean(value, first, second, under, n)) {
        if (!c->has_root)
            return measure_block(c, value, first, second, under, n, lr, total, 1, NO_ROOT);
        if (!is_plain)
            return measure_block(c, value, first, second, under, n, lr, total, 1, ROOT);
        return measure_block(c, value, first, second, under, n, lr, total, 1, ROOT_OF_SECOND);
    }
    if (!c->has_root)
        measure_block(c, value, first, second, under, n, lr, total, 0, NO_ROOT);
    else if (!is_plain)
        measure_block(c, value, first, second, under, n, lr, total, 0, ROOT);
    else
        measure_block(c, value, first, second, under, n, lr, total, 0, ROOT_OF_SECOND);
    return 0;
}

/* `value` may be NULL, and so may the counts; `lr` is NULL where nobody wants E of each element. */
static Figures measure_piece(const Coefficients *c, const float *value, const float *first, const float *second,
                             const float *under, Py_ssize_t size, float *lr, int64_t *lr_counts, int64_t *under_counts)
{
    static const float no_weights[BLOCK]; /* of weights that aren't there nothing is lost in rounding */
    float scratch[BLOCK];
    Figures total = {.under_min = UINT32_MAX};
    for (Py_ssize_t start = 0; start < size; start += BLOCK) {
        const int n = size - start < BLOCK ? (int)(size - start) : BLOCK;
        const float *u = under + start;
        float *e = lr ? lr + start : scratch;
        const int has_no_signs = measure_any_block(c, value ? value + start : no_weights, first + start, second + start,
                                                  u, n, e, &total);
        if (!lr_counts)
            continue;
        if (has_no_signs) {
            count_unsigned(e, n, lr_counts);
            count_unsigned(u, n, under_counts);
        } else {
            count_touched(e, u, n, lr_counts);
            count_touched(u, u, n, under_counts);
        }
    }
    return total;
}

/* --- compare: two tensors */

typedef struct { /* distances.Distance */
    double aa, bb, ab, dd;
    uint32_t differing_bits;
} Products;

FOR_EACH_PROCESSOR
static Products compare_piece(const float *a, const float *b, Py_ssize_t size)
{
    double aa = 0, bb = 0, ab = 0, dd = 0;
    uint32_t differing_bits = 0;
#pragma omp simd reduction(+ : aa, bb, ab, dd) reduction(| : differing_bits)
    for (Py_ssize_t i = 0; i < size; i++) {
        const double x = a[i], y = b[i], d = y - x;
        differing_bits |= bits_of(a[i]) ^ bits_of(b[i]);
        aa += x * x;
        bb += y * y;
        ab += x * y;
        dd += d * d;
    }
    return (Products){aa, bb, ab, dd, differing_bits};
}

typedef struct { /* distances.WindowCount */
    double sum_a, sum_b;
    int64_t touched, starved, impossible;
} Window;

FOR_EACH_PROCESSOR
static Window count_window_of_piece(const float *v1, const float *v2, Py_ssize_t size, double decay, double smallest,
                                    double tolerance)
{
    double sum_a = 0, sum_b = 0;
    int64_t touched = 0, starved = 0, impossible = 0;
#pragma omp simd reduction(+ : sum_a, sum_b, touched, starved, impossible)
    for (Py_ssize_t i = 0; i < size; i++) {
        const double a = v1[i], b = v2[i], left = a * decay;
        const int is_certain = left > smallest;
        sum_a += a;
        sum_b += b;
        touched += v1[i] != 0;
        impossible += is_certain & (b < left * (1.0 - tolerance));
        starved += is_certain & (fabs(b - left) <= left * tolerance);
    }
    return (Window){sum_a, sum_b, touched, starved, impossible};
}

/* --- Python */

enum { MOST_ARRAYS = 7 };

typedef struct {
    Py_buffer views[MOST_ARRAYS];
    int count;
    Py_ssize_t size; /* of the float arrays; -1 until the first is known */
} Arrays;

static void release(Arrays *arrays)
{
    while (arrays->count)
        PyBuffer_Release(&arrays->views[--arrays->count]);
}

/* The memory of a contiguous array of native numbers, kept until `release`; NULL with an exception set. */
static void *memory_of(Arrays *arrays, PyObject *object, const char *formats, Py_ssize_t itemsize, int flags,
                       Py_buffer **view)
{
    Py_buffer *found = &arrays->views[arrays->count];
    if (PyObject_GetBuffer(object, found, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | flags) < 0)
        return NULL;
    arrays->count++;
    if (found->itemsize != itemsize || !found->format || strlen(found->format) != 1 ||
        !strchr(formats, found->format[0])) {
        PyErr_Format(PyExc_TypeError, "an array of elements '%s' was given, where they should be '%c'",
                     found->format ? found->format : "?", formats[0]);
        return NULL;
    }
    *view = found;
    return found->buf;
}

/* float32 elements, as many as in the arrays before; `*data` is NULL for None. -1 with an exception set. */
static int floats_of(Arrays *arrays, PyObject *object, int flags, float **data)
{
    Py_buffer *view;
    *data = NULL;
    if (object == Py_None)
        return 0;
    *data = memory_of(arrays, object, "f", sizeof(float), flags, &view);
    if (!*data)
        return -1;
    const Py_ssize_t size = view->len / (Py_ssize_t)sizeof(float);
    if (arrays->size >= 0 && size != arrays->size) {
        PyErr_Format(PyExc_ValueError, "an array of %zd elements was given beside one of %zd", size, arrays->size);
        return -1;
    }
    arrays->size = size;
    return 0;
}

/* The counts of all fine bins; `*counts` is NULL for None. -1 with an exception set. */
static int counts_of(Arrays *arrays, PyObject *object, int64_t **counts)
{
    Py_buffer *view;
    *counts = NULL;
    if (object == Py_None)
        return 0;
    *counts = memory_of(arrays, object, "ql", sizeof(int64_t), PyBUF_WRITABLE, &view);
    if (!*counts)
        return -1;
    if (view->len != FINE_BINS * (Py_ssize_t)sizeof(int64_t)) {
        PyErr_Format(PyExc_ValueError, "counts of %d bins are needed", FINE_BINS);
        return -1;
    }
    return 0;
}

static float effective_lr(const Coefficients *c, float u)
{
    const float corrected = u / c->divisor;
    return c->numerator / ((c->has_root ? sqrtf(corrected + c->inner_epsilon) : corrected) + c->epsilon);
}

PyDoc_STRVAR(measure_doc,
             "measure(value, first_moment, second_moment, under_root, lr, lr_counts, under_counts,\n"
             "        numerator, divisor, inner_epsilon, epsilon, first_correction, decay, has_root)\n--\n\n"
             "The fields of a `summaries.Piece`, by name, of float32 arrays of one length.\n\n"
             "value, lr and both counts may be None; lr receives E, the counts are added to.");

static PyObject *measure(PyObject *self, PyObject *args)
{
    PyObject *objects[7];
    Coefficients c;
    if (!PyArg_ParseTuple(args, "OOOOOOOffffffp:measure", &objects[0], &objects[1], &objects[2], &objects[3], &objects[4],
                          &objects[5], &objects[6], &c.numerator, &c.divisor, &c.inner_epsilon, &c.epsilon,
                          &c.first_correction, &c.decay, &c.has_root))
        return NULL;
    Arrays arrays = {.count = 0, .size = -1};
    float *value, *first, *second, *under, *lr;
    int64_t *lr_counts, *under_counts;
    if (floats_of(&arrays, objects[1], 0, &first) < 0 || floats_of(&arrays, objects[2], 0, &second) < 0 ||
        floats_of(&arrays, objects[3], 0, &under) < 0 || floats_of(&arrays, objects[0], 0, &value) < 0 ||
        floats_of(&arrays, objects[4], PyBUF_WRITABLE, &lr) < 0 || counts_of(&arrays, objects[5], &lr_counts) < 0 ||
        counts_of(&arrays, objects[6], &under_counts) < 0) {
        release(&arrays);
        return NULL;
    }
    if (!first || !second || !under || !lr_counts != !under_counts) {
        release(&arrays);
        PyErr_SetString(PyExc_TypeError, "both moments are needed, and both counts or none");
        return NULL;
    }
    Figures f;
    Py_BEGIN_ALLOW_THREADS
    f = measure_piece(&c, value, first, second, under, arrays.size, lr, lr_counts, under_counts);
    Py_END_ALLOW_THREADS
    const Py_ssize_t size = arrays.size;
    release(&arrays);
    double under_min = INFINITY, under_max = -INFINITY, lr_min = INFINITY, lr_max = -INFINITY;
    if (f.touched) {
        /* E falls as u grows, in floating point too, for each operation is correctly rounded; see Formula.is_fast */
        const float low = effective_lr(&c, of_bits(f.under_max)), high = effective_lr(&c, of_bits(f.under_min));
        under_min = of_bits(f.under_min);
        under_max = of_bits(f.under_max);
        lr_min = low;
        lr_max = high;
    }
    const double update_max = f.with_update ? of_bits(f.update_max) : -INFINITY;
    const double ratio_max = f.with_ratio ? of_bits(f.ratio_max) : -INFINITY;
    return Py_BuildValue(
        "{s:n,s:L,s:L,s:L,s:L,s:L,s:L,s:d,s:d,s:d,s:d,s:d,s:d,s:{s:d,s:d,s:d,s:d,s:d,s:d}}", "elements", size, "touched",
        (long long)f.touched, "untouched", (long long)f.untouched, "nonfinite", (long long)f.nonfinite, "negative",
        (long long)f.negative, "epsilon_dominated", (long long)f.epsilon_dominated, "lost", (long long)f.lost,
        "effective_lr_min", lr_min, "effective_lr_max", lr_max, "second_moment_min", under_min, "second_moment_max",
        under_max, "update_max", update_max, "ratio_max", ratio_max, "sums", "effective_lr", f.lr_sum, "update_squares",
        f.update_squares, "weight_squares", f.value_squares, "first_moment_squares", f.first_squares, "second_moment",
        f.second_sum, "ratio_squares", f.ratio_squares);
}

/* Two arrays of float32, of one length; -1 with an exception set, and nothing kept. */
static int pair_of(Arrays *arrays, PyObject *const objects[2], float **a, float **b)
{
    if (floats_of(arrays, objects[0], 0, a) == 0 && floats_of(arrays, objects[1], 0, b) == 0 && *a && *b)
        return 0;
    release(arrays);
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "two arrays are needed");
    return -1;
}

PyDoc_STRVAR(compare_doc, "compare(a, b)\n--\n\n"
                          "(Σa², Σb², Σab, Σ(b-a)², whether all bits are the same) of two float32 arrays of one length.");

static PyObject *compare(PyObject *self, PyObject *args)
{
    PyObject *objects[2];
    if (!PyArg_ParseTuple(args, "OO:compare", &objects[0], &objects[1]))
        return NULL;
    Arrays arrays = {.count = 0, .size = -1};
    float *a, *b;
    if (pair_of(&arrays, objects, &a, &b) < 0)
        return NULL;
    Products p;
    Py_BEGIN_ALLOW_THREADS
    p = compare_piece(a, b, arrays.size);
    Py_END_ALLOW_THREADS
    release(&arrays);
    return Py_BuildValue("(ddddO)", p.aa, p.bb, p.ab, p.dd, p.differing_bits ? Py_False : Py_True);
}

PyDoc_STRVAR(count_window_doc, "count_window(v1, v2, decay, smallest, tolerance)\n--\n\n"
                               "(Σv1, Σv2, touched, starved, impossible): see `distances.WindowCount`.");

static PyObject *count_window(PyObject *self, PyObject *args)
{
    PyObject *objects[2];
    double decay, smallest, tolerance;
    if (!PyArg_ParseTuple(args, "OOddd:count_window", &objects[0], &objects[1], &decay, &smallest, &tolerance))
        return NULL;
    Arrays arrays = {.count = 0, .size = -1};
    float *v1, *v2;
    if (pair_of(&arrays, objects, &v1, &v2) < 0)
        return NULL;
    Window w;
    Py_BEGIN_ALLOW_THREADS
    w = count_window_of_piece(v1, v2, arrays.size, decay, smallest, tolerance);
    Py_END_ALLOW_THREADS
    release(&arrays);
    return Py_BuildValue("(ddLLL)", w.sum_a, w.sum_b, (long long)w.touched, (long long)w.starved,
                         (long long)w.impossible);
}

PyDoc_STRVAR(count_doc, "count(values, counts)\n--\n\n"
                                "Add positive finite float32 values to the counts of their fine bins.");

static PyObject *count(PyObject *self, PyObject *args)
{
    PyObject *objects[2];
    if (!PyArg_ParseTuple(args, "OO:count", &objects[0], &objects[1]))
        return NULL;
    Arrays arrays = {.count = 0, .size = -1};
    float *values;
    int64_t *counts;
    if (floats_of(&arrays, objects[0], 0, &values) < 0 || counts_of(&arrays, objects[1], &counts) < 0 || !values ||
        !counts) {
        release(&arrays);
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "values and counts are needed");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    count_piece(values, arrays.size, counts);
    Py_END_ALLOW_THREADS
    release(&arrays);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"measure", measure, METH_VARARGS, measure_doc},
                                {"compare", compare, METH_VARARGS, compare_doc},
                                {"count_window", count_window, METH_VARARGS, count_window_doc},
                                {"count", count, METH_VARARGS, count_doc},
                                {NULL, NULL, 0, NULL}};

static int set_version(PyObject *module)
{
    return PyModule_AddIntConstant(module, "VERSION", 1); /* grows with every change of what Python may expect */
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, set_version},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL}};

static PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "ckpt_inspect.extension.loops",
                             .m_doc = "Loops over float32 elements.", .m_size = 0, .m_methods = methods,
                             .m_slots = slots};

PyMODINIT_FUNC PyInit_loops(void)
{
    return PyModuleDef_Init(&module);
}
