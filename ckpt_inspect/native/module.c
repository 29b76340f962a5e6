/* The Python module `ckpt_inspect.native.loops`: arrays of numpy, or places in files, to the loops of measure.c
 * and compare.c, and their figures back. The interpreter's lock is let go of meanwhile.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>

#include "checksums.h"
#include "fletcher.h"
#include "listing.h"
#include "loops.h"
#include "mapping.h"
#include "shuffle.h"

#if defined(HAS_VERSIONS)
#include <cpuid.h>
#endif

Instructions instructions = PORTABLE;

static const char *const instruction_names[] = {"portable", "sse4.2", "avx2", "avx512"};
static Instructions best_instructions = PORTABLE;

enum { MOST_ARRAYS = 16 };

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
        PyErr_Format(PyExc_TypeError, "an array of elements '%s' was given: they must be '%c'",
                     found->format ? found->format : "?", formats[0]);
        return NULL;
    }
    if ((uintptr_t)found->buf % (uintptr_t)itemsize) {
        PyErr_SetString(PyExc_TypeError, "an array was given whose elements are not aligned");
        return NULL;
    }
    *view = found;
    return found->buf;
}

/* Elements of that type (halves as 'H'), as many as in the arrays before; `*data` is NULL for None. -1 with an exception set. */
static int elements_of(Arrays *arrays, PyObject *object, Dtype dtype, int flags, void **data)
{
    Py_buffer *view;
    *data = NULL;
    if (object == Py_None)
        return 0;
    const Py_ssize_t width = (Py_ssize_t)width_of(dtype);
    *data = memory_of(arrays, object, dtype == FLOAT32 ? "f" : dtype == FLOAT64 ? "d" : "H", width, flags, &view);
    if (!*data)
        return -1;
    const Py_ssize_t size = view->len / width;
    if (arrays->size >= 0 && size != arrays->size) {
        PyErr_Format(PyExc_ValueError, "an array of %zd elements was given beside one of %zd", size, arrays->size);
        return -1;
    }
    arrays->size = size;
    return 0;
}

static int floats_of(Arrays *arrays, PyObject *object, float **data)
{
    void *found;
    const int failed = elements_of(arrays, object, FLOAT32, 0, &found);
    *data = found;
    return failed;
}

/* That many counts; `*counts` is NULL for None. -1 with an exception set. */
static int counts_of(Arrays *arrays, PyObject *object, Py_ssize_t bins, int64_t **counts)
{
    Py_buffer *view;
    *counts = NULL;
    if (object == Py_None)
        return 0;
    *counts = memory_of(arrays, object, "ql", sizeof(int64_t), PyBUF_WRITABLE, &view);
    if (!*counts)
        return -1;
    if (view->len != bins * (Py_ssize_t)sizeof(int64_t)) {
        PyErr_Format(PyExc_ValueError, "counts of %zd bins are needed", bins);
        return -1;
    }
    return 0;
}

/* Bytes, at least so many; `*bytes` is NULL for None. -1 with an exception set. */
static int bytes_of(Arrays *arrays, PyObject *object, Py_ssize_t least, unsigned char **bytes)
{
    Py_buffer *view;
    *bytes = NULL;
    if (object == Py_None)
        return 0;
    *bytes = memory_of(arrays, object, "B?", 1, PyBUF_WRITABLE, &view);
    if (!*bytes)
        return -1;
    if (view->len < least) {
        PyErr_Format(PyExc_ValueError, "memory of %zd bytes is needed", least);
        return -1;
    }
    return 0;
}

/* Memory of SCRATCH bytes: first the lanes, which stay 0 from call to call, then what is read. -1 with an exception set. */
static int scratch_of(Arrays *arrays, PyObject *object, Stretch *stretch)
{
    unsigned char *memory;
    if (bytes_of(arrays, object, (Py_ssize_t)SCRATCH, &memory) < 0)
        return -1;
    if (!memory || (uintptr_t)memory % 64) {
        PyErr_SetString(PyExc_TypeError, "memory is needed whose address is a multiple of 64");
        return -1;
    }
    stretch->lanes = memory;
    stretch->scratch = memory + LANES_SIZE;
    return 0;
}

static PyObject *figures_as_object(const Figures *f, Py_ssize_t size)
{
    return Py_BuildValue(
        "{s:n,s:L,s:L,s:L,s:L,s:L,s:L,s:d,s:d,s:d,s:d,s:d,s:d,s:{s:d,s:d,s:d,s:d,s:d,s:d}}", "elements", size, "touched",
        (long long)f->touched, "untouched", (long long)f->untouched, "nonfinite", (long long)f->nonfinite, "negative",
        (long long)f->negative, "epsilon_dominated", (long long)f->epsilon_dominated, "lost", (long long)f->lost,
        "effective_lr_min", f->lr_min, "effective_lr_max", f->lr_max, "second_moment_min", f->under_min,
        "second_moment_max", f->under_max, "update_max", f->update_max, "ratio_max", f->ratio_max, "sums", "effective_lr",
        f->lr_sum, "update_squares", f->update_squares, "weight_squares", f->value_squares, "first_moment_squares",
        f->first_squares, "second_moment", f->second_sum, "ratio_squares", f->ratio_squares);
}

#define COEFFICIENTS(c) \
    &(c).numerator, &(c).divisor, &(c).inner_epsilon, &(c).epsilon, &(c).first_correction, &(c).decay, &(c).has_root, \
        &(c).start, &(c).is_adaptive, &(c).is_stored, &(c).step_divisor, &(c).step_factor, &(c).denominator_factor, \
        &(c).outer_factor

static const Coefficients no_coefficients = {.has_root = 1, .is_adaptive = 1, .step_divisor = 1, .step_factor = 1,
                                             .denominator_factor = 1, .outer_factor = 1};

static int is_dtype(int dtype)
{
    if (dtype >= FLOAT32 && dtype <= BFLOAT16)
        return 1;
    PyErr_SetString(PyExc_ValueError, "there is no such type of elements");
    return 0;
}

PyDoc_STRVAR(measure_doc,
             "measure(value, first_moment, second_moment, under_root, lr, lr_counts, under_counts,\n"
             "        numerator, divisor, inner_epsilon, epsilon, first_correction, decay, has_root,\n"
             "        start=0, is_adaptive=True, is_stored=False,\n"
             "        step_divisor=1, step_factor=1, denominator_factor=1, outer_factor=1, dtype=0, half_counts=None,\n"
             "        scratch=None)\n--\n\n"
             "The fields of a `summaries.Piece`, by name, of arrays of one length.\n\n"
             "value, first_moment, lr and all counts may be None; lr receives E (of float32 and float64), the counts are added to.\n"
             "scratch: as of `sweep`; without it counting takes longer.");

static PyObject *measure(PyObject *self, PyObject *args)
{
    PyObject *objects[7], *half_counts = Py_None, *scratch = Py_None;
    Stretch stretch = {.c = no_coefficients};
    int dtype = FLOAT32;
    if (!PyArg_ParseTuple(args, "OOOOOOOddddddp|dppddddiOO:measure", &objects[0], &objects[1], &objects[2], &objects[3],
                          &objects[4], &objects[5], &objects[6], COEFFICIENTS(stretch.c), &dtype, &half_counts, &scratch) ||
        !is_dtype(dtype))
        return NULL;
    stretch.dtype = (Dtype)dtype;
    Arrays arrays = {.count = 0, .size = -1};
    void *value, *first, *second, *under;
    for (int i = 0; i < SOURCES; i++)
        stretch.sources[i].descriptor = -1;
    if (elements_of(&arrays, objects[1], stretch.dtype, 0, &first) < 0 ||
        elements_of(&arrays, objects[2], stretch.dtype, 0, &second) < 0 ||
        elements_of(&arrays, objects[3], stretch.dtype, 0, &under) < 0 ||
        elements_of(&arrays, objects[0], stretch.dtype, 0, &value) < 0 ||
        elements_of(&arrays, objects[4], stretch.dtype, PyBUF_WRITABLE, &stretch.lr) < 0 ||
        counts_of(&arrays, objects[5], FINE_BINS, &stretch.lr_counts) < 0 ||
        counts_of(&arrays, objects[6], FINE_BINS, &stretch.under_counts) < 0 ||
        counts_of(&arrays, half_counts, HALVES, &stretch.half_counts) < 0 ||
        (scratch != Py_None && scratch_of(&arrays, scratch, &stretch) < 0)) {
        release(&arrays);
        return NULL;
    }
    if (!second || !under || !stretch.lr_counts != !stretch.under_counts) {
        release(&arrays);
        PyErr_SetString(PyExc_TypeError, "the second moment is needed, and both counts or none");
        return NULL;
    }
    stretch.sources[VALUE].memory = value;
    stretch.sources[FIRST].memory = first;
    stretch.sources[SECOND].memory = second;
    stretch.sources[MAXIMUM].memory = under;
    stretch.under = under == second ? UNDER_SECOND : UNDER_MAXIMUM;
    stretch.size = (size_t)arrays.size;
    Figures figures;
    Py_BEGIN_ALLOW_THREADS
    measure_stretch(&stretch, &figures);
    Py_END_ALLOW_THREADS
    release(&arrays);
    return figures_as_object(&figures, (Py_ssize_t)stretch.size);
}

/* Where each array lies: (descriptor, offset), its bytes, of which `least` are needed, or None. -1 with an exception set. */
static int sources_of(Arrays *arrays, PyObject *object, Py_ssize_t least, Source sources[SOURCES])
{
    if (!PyTuple_Check(object) || PyTuple_GET_SIZE(object) != SOURCES) {
        PyErr_Format(PyExc_TypeError, "a tuple of %d places is needed", SOURCES);
        return -1;
    }
    for (int i = 0; i < SOURCES; i++) {
        PyObject *const place = PyTuple_GET_ITEM(object, i);
        sources[i] = (Source){.descriptor = -1};
        long long offset = 0;
        if (place == Py_None)
            continue;
        if (!PyTuple_Check(place)) {
            Py_buffer *view;
            sources[i].memory = memory_of(arrays, place, "B", 1, 0, &view);
            sources[i].is_received = 1;
            if (!sources[i].memory)
                return -1;
            if (view->len < least) {
                PyErr_Format(PyExc_ValueError, "%zd bytes are needed", least);
                return -1;
            }
            continue;
        }
        if (!PyArg_ParseTuple(place, "iL", &sources[i].descriptor, &offset))
            return -1;
        sources[i].offset = offset;
    }
    if (is_there(&sources[SECOND]))
        return 0;
    PyErr_SetString(PyExc_TypeError, "the second moment is needed");
    return -1;
}

/* Whether what is under the root can be had of the sources; else an exception is set. */
static int has_under(const Stretch *stretch, int under)
{
    if (under == UNDER_SECOND || (under == UNDER_MAXIMUM && is_there(&stretch->sources[MAXIMUM])) ||
        (under == UNDER_CENTERED && is_there(&stretch->sources[MEAN])))
        return 1;
    PyErr_SetString(PyExc_ValueError, "what is under the root is not among the sources");
    return 0;
}

static PyObject *checksums_of(const Stretch *stretch)
{
    const Source *s = stretch->sources;
    return Py_BuildValue("(IIIII)", s[VALUE].crc, s[FIRST].crc, s[SECOND].crc, s[MAXIMUM].crc, s[MEAN].crc);
}

PyDoc_STRVAR(sweep_doc,
             "sweep(sources, dtype, under, size, scratch, coefficients, counts, rows, row_length, first, places, samples)\n"
             "--\n\n"
             "Read `size` elements of each source, and return (the fields of a `summaries.Piece`, checksums of the bytes).\n\n"
             "sources: (descriptor, offset), an array of bytes, or None, in the order of the fields of `State`; None is\n"
             "returned if one can't be read. coefficients: as of `measure`. counts: of E, of what is under the root, of halves, any of them None.\n"
             "rows receives 1 for each row that has a touched element, `first` being the stretch's first element; samples\n"
             "receives the elements at `places`, ascending, of each source. rows and samples may be None.");

static PyObject *sweep(PyObject *self, PyObject *args)
{
    PyObject *sources, *scratch, *lr_counts, *under_counts, *half_counts, *rows, *places, *samples, *result = NULL;
    Stretch stretch = {.c = no_coefficients};
    int dtype, under;
    Py_ssize_t size;
    long long row_length, first;
    Arrays arrays = {.count = 0, .size = -1};
    if (!PyArg_ParseTuple(args, "OiinO(ddddddpdppdddd)(OOO)OLLOO:sweep", &sources, &dtype, &under, &size, &scratch,
                          COEFFICIENTS(stretch.c), &lr_counts, &under_counts, &half_counts, &rows, &row_length, &first,
                          &places, &samples) ||
        !is_dtype(dtype))
        return NULL;
    stretch.dtype = (Dtype)dtype;
    if (sources_of(&arrays, sources, size * (Py_ssize_t)width_of(stretch.dtype), stretch.sources) < 0 ||
        !has_under(&stretch, under)) {
        release(&arrays);
        return NULL;
    }
    stretch.under = (Under)under;
    stretch.size = (size_t)size;
    stretch.row_length = row_length;
    stretch.first = first;
    const Py_ssize_t width = (Py_ssize_t)width_of(stretch.dtype);
    const Py_ssize_t row_count = row_length > 0 && size > 0 ? (Py_ssize_t)((first + size - 1) / row_length + 1) : 0;
    if (size < 0 || first < 0 || (rows != Py_None && row_length <= 0)) {
        PyErr_SetString(PyExc_ValueError, "there is no such stretch");
        goto done;
    }
    if (places != Py_None) {
        Py_buffer *view;
        stretch.places = memory_of(&arrays, places, "ql", sizeof(int64_t), 0, &view);
        if (!stretch.places)
            goto done;
        stretch.place_count = (size_t)view->len / sizeof(int64_t);
        for (size_t i = 0; i < stretch.place_count; i++)
            if (stretch.places[i] < (i ? stretch.places[i - 1] : 0) || stretch.places[i] >= size) {
                PyErr_SetString(PyExc_ValueError, "places must ascend, and lie inside");
                goto done;
            }
    }
    if (scratch_of(&arrays, scratch, &stretch) < 0 ||
        counts_of(&arrays, lr_counts, FINE_BINS, &stretch.lr_counts) < 0 ||
        counts_of(&arrays, under_counts, FINE_BINS, &stretch.under_counts) < 0 ||
        counts_of(&arrays, half_counts, HALVES, &stretch.half_counts) < 0 ||
        bytes_of(&arrays, rows, row_count, &stretch.rows) < 0 ||
        bytes_of(&arrays, samples, SOURCES * (Py_ssize_t)stretch.place_count * width, &stretch.samples) < 0)
        goto done;
    if (!stretch.lr_counts != !stretch.under_counts || (stretch.place_count && !stretch.samples)) {
        PyErr_SetString(PyExc_TypeError, "both counts are needed, or none, and room for samples");
        goto done;
    }
    Figures figures;
    int is_read;
    Py_BEGIN_ALLOW_THREADS
    is_read = measure_stretch(&stretch, &figures);
    Py_END_ALLOW_THREADS
    if (is_read)
        result = Py_BuildValue("(NN)", figures_as_object(&figures, size), checksums_of(&stretch));
    else
        result = Py_NewRef(Py_None);
done:
    release(&arrays);
    return result;
}

PyDoc_STRVAR(small_doc,
             "small(table, memory, coefficients, places, levels, coarse, figures, checksums, touched_rows, samples, ranked,\n"
             "      counts)\n--\n\n"
             "Read and measure many small tensors; `measurement.small` says what each array holds. Return a byte for each: 1 if\n"
             "its rows have been filled, 0 if it must be read another way.");

enum { SMALL_COLUMNS = 5 + 2 * SOURCES, SMALL_COEFFICIENTS = 14, NOT_THERE = -1, IN_MEMORY = -2 };

/* So many numbers of that format; NULL with an exception set. */
static void *numbers_of(Arrays *arrays, PyObject *object, const char *format, Py_ssize_t itemsize, int flags, Py_ssize_t count)
{
    Py_buffer *view;
    void *const found = memory_of(arrays, object, format, itemsize, flags, &view);
    if (found && view->len != count * itemsize) {
        PyErr_Format(PyExc_ValueError, "an array of %zd elements was given: they must be %zd", view->len / itemsize, count);
        return NULL;
    }
    return found;
}

/* A row of the table; -1 with an exception set. */
static int small_tensor_of(const int64_t *row, const Py_buffer *memory, Py_ssize_t formulas, SmallTensor *tensor)
{
    *tensor = (SmallTensor){.dtype = (Dtype)row[0], .under = (Under)row[1], .size = (size_t)row[2], .rows = row[3],
                            .formula = (size_t)row[4]};
    int is_right = (row[0] == FLOAT32 || row[0] == FLOAT64) && row[1] >= UNDER_SECOND && row[1] <= UNDER_CENTERED &&
                   row[2] > 0 && row[2] <= MOST_SMALL && row[3] >= 0 && row[3] <= row[2] && (!row[3] || row[2] % row[3] == 0) &&
                   row[4] >= 0 && row[4] < formulas;
    const size_t width = is_right ? width_of(tensor->dtype) : 1;
    for (int i = 0; i < SOURCES && is_right; i++) {
        const int64_t descriptor = row[5 + 2 * i], offset = row[6 + 2 * i];
        tensor->sources[i] = (Source){.descriptor = -1};
        if (descriptor == IN_MEMORY) {
            is_right = memory && offset >= 0 && offset <= memory->len - (Py_ssize_t)(tensor->size * width);
            tensor->sources[i].memory = is_right ? (const unsigned char *)memory->buf + offset : NULL;
            is_right = is_right && (uintptr_t)tensor->sources[i].memory % width == 0;
        } else if (descriptor != NOT_THERE) {
            is_right = descriptor >= 0 && descriptor <= INT32_MAX && offset >= 0;
            tensor->sources[i].descriptor = (int)descriptor;
            tensor->sources[i].offset = offset;
        }
    }
    const Source *const sources = tensor->sources;
    if (is_right && is_there(&sources[SECOND]) && (tensor->under != UNDER_MAXIMUM || is_there(&sources[MAXIMUM])) &&
        (tensor->under != UNDER_CENTERED || is_there(&sources[MEAN])))
        return 0;
    PyErr_SetString(PyExc_ValueError, "there is no such tensor");
    return -1;
}

static int have_small_arrays(SmallTensors *all, Arrays *arrays, PyObject *const objects[7], PyObject *const coarse[2],
                             PyObject *const counts[2], Py_ssize_t count)
{
    Py_buffer *view;
    const Py_ssize_t width = sizeof(int64_t);
    if (!(all->levels = memory_of(arrays, objects[0], "d", sizeof(double), 0, &view)))
        return 0;
    all->level_count = (size_t)view->len / sizeof(double);
    if (!(all->places = memory_of(arrays, objects[1], "ql", width, 0, &view)))
        return 0;
    all->place_count = count ? (size_t)(view->len / width / count) : 0;
    if (view->len != (Py_ssize_t)all->place_count * count * width || all->place_count > MOST_SMALL / SOURCES) {
        PyErr_SetString(PyExc_ValueError, "as many places of each tensor are needed");
        return 0;
    }
    for (int i = 0; i < 2; i++) {
        if (!(all->coarse[i] = numbers_of(arrays, coarse[i], "i", sizeof(int32_t), 0, FINE_BINS)) ||
            !(all->counts[i] = memory_of(arrays, counts[i], "ql", width, PyBUF_WRITABLE, &view)))
            return 0;
        all->bins[i] = count ? (size_t)(view->len / width / count) : 0;
        for (int bin = 0; bin < FINE_BINS; bin++)
            if (all->coarse[i][bin] < 0 || (size_t)all->coarse[i][bin] >= all->bins[i]) {
                PyErr_SetString(PyExc_ValueError, "there is no such bin");
                return 0;
            }
    }
    const Py_ssize_t places = (Py_ssize_t)all->place_count, levels = (Py_ssize_t)all->level_count;
    return (all->figures = numbers_of(arrays, objects[2], "B", 1, PyBUF_WRITABLE, count * (Py_ssize_t)sizeof(Figures))) &&
           (all->checksums = numbers_of(arrays, objects[3], "I", sizeof(uint32_t), PyBUF_WRITABLE, count * SOURCES)) &&
           (all->touched_rows = numbers_of(arrays, objects[4], "ql", width, PyBUF_WRITABLE, count)) &&
           (all->samples = numbers_of(arrays, objects[5], "d", width, PyBUF_WRITABLE, count * SOURCES * places)) &&
           (all->ranked = numbers_of(arrays, objects[6], "d", width, PyBUF_WRITABLE, count * 4 * levels));
}

static int have_small_places(const SmallTensors *all, const SmallTensor *tensors, Py_ssize_t count)
{
    for (Py_ssize_t row = 0; row < count; row++)
        for (size_t i = 0; i < all->place_count; i++) {
            const int64_t *const place = all->places + (size_t)row * all->place_count + i;
            if (*place >= (int64_t)tensors[row].size || (i && *place >= 0 && *place < place[-1]) ||
                (i && *place >= 0 && place[-1] < 0)) {
                PyErr_SetString(PyExc_ValueError, "places must ascend, and lie inside");
                return 0;
            }
        }
    return 1;
}

static PyObject *small(PyObject *self, PyObject *args)
{
    PyObject *table, *memory, *coefficients, *coarse[2], *counts[2], *objects[7], *result = NULL;
    if (!PyArg_ParseTuple(args, "OOOOO(OO)OOOOO(OO):small", &table, &memory, &coefficients, &objects[1], &objects[0], &coarse[0],
                          &coarse[1], &objects[2], &objects[3], &objects[4], &objects[5], &objects[6], &counts[0], &counts[1]))
        return NULL;
    Arrays arrays = {.count = 0, .size = -1};
    Py_buffer *view, *held = NULL;
    SmallTensors all = {.c = NULL};
    Coefficients *c = NULL;
    SmallTensor *tensors = NULL;
    unsigned char *room = NULL;
    const int64_t *const rows = memory_of(&arrays, table, "ql", sizeof(int64_t), 0, &view);
    if (!rows)
        goto done;
    const Py_ssize_t count = view->len / (Py_ssize_t)sizeof(int64_t) / SMALL_COLUMNS;
    const double *const numbers = memory_of(&arrays, coefficients, "d", sizeof(double), 0, &view);
    if (!numbers)
        goto done;
    const Py_ssize_t formulas = view->len / (Py_ssize_t)sizeof(double) / SMALL_COEFFICIENTS;
    if ((memory != Py_None && !memory_of(&arrays, memory, "B", 1, 0, &held)) ||
        !have_small_arrays(&all, &arrays, objects, coarse, counts, count))
        goto done;
    const size_t wide = MOST_SMALL * sizeof(double), scratch = (size_t)SOURCES * CHUNK * sizeof(double);
    c = PyMem_RawMalloc(sizeof *c * ((size_t)formulas + 1));
    tensors = PyMem_RawMalloc(sizeof *tensors * ((size_t)count + 1));
    room = PyMem_RawMalloc(scratch + 6 * wide);
    if (!c || !tensors || !room) {
        PyErr_NoMemory();
        goto done;
    }
    for (Py_ssize_t i = 0; i < formulas; i++) {
        const double *const n = numbers + i * SMALL_COEFFICIENTS;
        c[i] = (Coefficients){.numerator = n[0], .divisor = n[1], .inner_epsilon = n[2], .epsilon = n[3],
                              .first_correction = n[4], .decay = n[5], .has_root = n[6] != 0, .start = n[7],
                              .is_adaptive = n[8] != 0, .is_stored = n[9] != 0, .step_divisor = n[10], .step_factor = n[11],
                              .denominator_factor = n[12], .outer_factor = n[13]};
    }
    all.c = c;
    for (Py_ssize_t i = 0; i < count; i++)
        if (small_tensor_of(rows + i * SMALL_COLUMNS, held, formulas, &tensors[i]) < 0)
            goto done;
    result = have_small_places(&all, tensors, count) ? PyBytes_FromStringAndSize(NULL, count) : NULL;
    if (!result)
        goto done;
    char *const is_measured = PyBytes_AS_STRING(result);
    const SmallRoom places = {.scratch = room, .lr = room + scratch, .chosen = {room + scratch + wide, room + scratch + 2 * wide},
                              .spare = room + scratch + 3 * wide, .rows = room + scratch + 4 * wide,
                              .samples = room + scratch + 5 * wide};
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < count; i++)
        is_measured[i] = (char)measure_small(&all, &tensors[i], &places, (size_t)i);
    Py_END_ALLOW_THREADS
done:
    PyMem_RawFree(c);
    PyMem_RawFree(tensors);
    PyMem_RawFree(room);
    release(&arrays);
    return result;
}

PyDoc_STRVAR(norms_doc, "norms(sources, dtype, under, size, scratch, coefficients)\n--\n\n"
                        "Read as `sweep` does, and return ((Σθ², Σd², Σθd), checksums); None if something can't be read.");

static PyObject *norms(PyObject *self, PyObject *args)
{
    PyObject *sources, *scratch, *result = NULL;
    Stretch stretch = {.c = no_coefficients};
    int dtype, under;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "OiinO(ddddddpdppdddd):norms", &sources, &dtype, &under, &size, &scratch,
                          COEFFICIENTS(stretch.c)) ||
        !is_dtype(dtype))
        return NULL;
    stretch.dtype = (Dtype)dtype;
    stretch.under = (Under)under;
    stretch.size = size < 0 ? 0 : (size_t)size;
    Arrays arrays = {.count = 0, .size = -1};
    if (sources_of(&arrays, sources, size * (Py_ssize_t)width_of(stretch.dtype), stretch.sources) == 0 &&
        has_under(&stretch, under) && scratch_of(&arrays, scratch, &stretch) == 0) {
        Norms found;
        int is_read;
        Py_BEGIN_ALLOW_THREADS
        is_read = norms_of_stretch(&stretch, &found);
        Py_END_ALLOW_THREADS
        if (is_read)
            result = Py_BuildValue("((ddd)N)", found.value, found.direction, found.product, checksums_of(&stretch));
        else
            result = Py_NewRef(Py_None);
    }
    release(&arrays);
    return result;
}
/* Two arrays of float32, of one length; -1 with an exception set, and nothing kept. */
static int pair_of(Arrays *arrays, PyObject *const objects[2], float **a, float **b)
{
    if (floats_of(arrays, objects[0], a) == 0 && floats_of(arrays, objects[1], b) == 0 && *a && *b)
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
    p = compare_piece(a, b, (size_t)arrays.size);
    Py_END_ALLOW_THREADS
    release(&arrays);
    return Py_BuildValue("(ddddO)", p.aa, p.bb, p.ab, p.dd, p.differing_bits ? Py_False : Py_True);
}

PyDoc_STRVAR(compare_stored_doc,
             "compare_stored(a, b, dtype, size, scratch, window, counts_a, counts_b)\n--\n\n"
             "Read `size` elements at two places (descriptor, offset), and return (what `compare` does, what `count_window`\n"
             "does, checksums of the bytes); None if something can't be read.\n\n"
             "window: decay, smallest, tolerance, or None; the counts are added to, and may be None.");

static PyObject *compare_stored(PyObject *self, PyObject *args)
{
    PyObject *scratch, *window, *counts[2], *result = NULL;
    PairStretch pair = {.size = 0};
    Stretch stretch;
    int dtype;
    Py_ssize_t size;
    long long offsets[2];
    Arrays arrays = {.count = 0, .size = -1};
    if (!PyArg_ParseTuple(args, "(iL)(iL)inOOOO:compare_stored", &pair.sources[0].descriptor, &offsets[0],
                          &pair.sources[1].descriptor, &offsets[1], &dtype, &size, &scratch, &window, &counts[0], &counts[1]) ||
        !is_dtype(dtype))
        return NULL;
    pair.dtype = (Dtype)dtype;
    pair.size = size < 0 ? 0 : (size_t)size;
    pair.sources[0].offset = offsets[0];
    pair.sources[1].offset = offsets[1];
    if (window != Py_None) {
        if (!PyArg_ParseTuple(window, "ddd", &pair.decay, &pair.smallest, &pair.tolerance))
            return NULL;
        pair.has_window = 1;
    }
    int is_read = 0;
    if (scratch_of(&arrays, scratch, &stretch) == 0 && counts_of(&arrays, counts[0], FINE_BINS, &pair.counts[0]) == 0 &&
        counts_of(&arrays, counts[1], FINE_BINS, &pair.counts[1]) == 0) {
        pair.scratch = stretch.scratch;
        Py_BEGIN_ALLOW_THREADS
        is_read = compare_stretch(&pair);
        Py_END_ALLOW_THREADS
        const Products *const p = &pair.products;
        const Window *const w = &pair.window;
        if (is_read)
            result = Py_BuildValue("((ddddO)(ddLLL)(II))", p->aa, p->bb, p->ab, p->dd, p->differing_bits ? Py_False : Py_True,
                                   w->sum_a, w->sum_b, (long long)w->touched, (long long)w->starved,
                                   (long long)w->impossible, pair.sources[0].crc, pair.sources[1].crc);
        else
            result = Py_NewRef(Py_None);
    }
    release(&arrays);
    return result;
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
    w = count_window_of_piece(v1, v2, (size_t)arrays.size, decay, smallest, tolerance);
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
    if (floats_of(&arrays, objects[0], &values) < 0 || counts_of(&arrays, objects[1], FINE_BINS, &counts) < 0 || !values ||
        !counts) {
        release(&arrays);
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "values and counts are needed");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    count_piece(values, (size_t)arrays.size, counts);
    Py_END_ALLOW_THREADS
    release(&arrays);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(extend_checksum_doc, "extend_checksum(crc, data)\n--\n\n"
                                  "The CRC-32C of A and then the bytes `data`, from that of A; 0 is that of nothing.");

static PyObject *extend_checksum_of(PyObject *self, PyObject *args)
{
    unsigned int crc;
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "Iy*:extend_checksum", &crc, &data))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    crc = extend_checksum(crc, data.buf, (size_t)data.len);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&data);
    return PyLong_FromUnsignedLong(crc);
}

PyDoc_STRVAR(fletcher32_doc, "fletcher32(rows, tail, sums)\n--\n\n"
                             "Fill `sums`, uint32, with Fletcher's checksum of each of as many rows of bytes, of one length, without\n"
                             "the last `tail` bytes of each.");

static PyObject *fletcher32_of(PyObject *self, PyObject *args)
{
    Py_buffer rows, sums;
    Py_ssize_t tail;
    if (!PyArg_ParseTuple(args, "y*nw*:fletcher32", &rows, &tail, &sums))
        return NULL;
    const Py_ssize_t count = sums.len / (Py_ssize_t)sizeof(uint32_t), length = count ? rows.len / count : 0;
    const int is_sound = sums.len % (Py_ssize_t)sizeof(uint32_t) == 0 && count * length == rows.len && 0 <= tail && tail <= length;
    if (is_sound) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = 0; i < count; i++) {
            const uint32_t sum = fletcher32((const unsigned char *)rows.buf + i * length, (size_t)(length - tail));
            memcpy((unsigned char *)sums.buf + i * (Py_ssize_t)sizeof sum, &sum, sizeof sum);
        }
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&rows);
    PyBuffer_Release(&sums);
    if (!is_sound)
        return PyErr_Format(PyExc_ValueError, "rows of one length are needed, a sum for each, and at most a row for a tail");
    Py_RETURN_NONE;
}

PyDoc_STRVAR(list_folder_doc, "list_folder(path)\n--\n\n"
                              "The names of a folder's files, their sizes and times as int64 in bytes, and the names of the folders in\n"
                              "it; names are bytes, each with a 0 behind it. Raises OSError.");

static PyObject *list_folder_of(PyObject *self, PyObject *args)
{
    const char *path;
    Listing found;
    int failure;
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "y:list_folder", &path))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    failure = list_folder(path, &found);
    Py_END_ALLOW_THREADS
    if (failure == ENOMEM)
        PyErr_NoMemory();
    else if (failure) {
        errno = failure;
        PyErr_SetFromErrno(PyExc_OSError);
    } else
        result = Py_BuildValue("y#y#y#y#", found.names ? found.names : "", (Py_ssize_t)found.used,
                               found.sizes ? (const char *)found.sizes : "", (Py_ssize_t)(found.count * sizeof *found.sizes),
                               found.times ? (const char *)found.times : "", (Py_ssize_t)(found.count * sizeof *found.times),
                               found.folders ? found.folders : "", (Py_ssize_t)found.folders_used);
    free_listing(&found);
    return result;
}

PyDoc_STRVAR(unshuffle_doc, "unshuffle(shuffled, width, elements)\n--\n\n"
                            "Fill `elements` with bytes of which all elements' first ones stood first, then all second ones; both\n"
                            "hold as many bytes, a multiple of `width`.");

static PyObject *unshuffle_of(PyObject *self, PyObject *args)
{
    Py_buffer shuffled, elements;
    Py_ssize_t width;
    if (!PyArg_ParseTuple(args, "y*nw*:unshuffle", &shuffled, &width, &elements))
        return NULL;
    const char *const from = shuffled.buf, *const to = elements.buf;
    const int is_sound = width > 0 && shuffled.len == elements.len && shuffled.len % width == 0 &&
                         (from + shuffled.len <= to || to + elements.len <= from);
    if (is_sound) {
        Py_BEGIN_ALLOW_THREADS
        unshuffle(shuffled.buf, (size_t)width, (size_t)(shuffled.len / width), elements.buf);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&shuffled);
    PyBuffer_Release(&elements);
    if (!is_sound)
        return PyErr_Format(PyExc_ValueError, "as many bytes are needed in other memory, all of whole elements");
    Py_RETURN_NONE;
}

static Instructions find_instructions(void)
{
#if defined(HAS_VERSIONS)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("sse4.2"))
        return PORTABLE;
    unsigned a, b, c = 0, d; /* not every compiler knows F16C by its name */
    if (!__builtin_cpu_supports("avx2") || !__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_F16C))
        return SSE42;
    const int has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    return has_avx512 ? AVX512 : AVX2;
#else
    return PORTABLE;
#endif
}

PyDoc_STRVAR(use_instructions_doc, "use_instructions(name)\n--\n\n"
                                   "Use the versions of the loops for those of the `INSTRUCTIONS`, for tests; not while\n"
                                   "others compute.");

static PyObject *use_instructions(PyObject *self, PyObject *args)
{
    const char *name;
    if (!PyArg_ParseTuple(args, "s:use_instructions", &name))
        return NULL;
    for (int i = PORTABLE; i <= (int)best_instructions; i++)
        if (strcmp(name, instruction_names[i]) == 0) {
            instructions = (Instructions)i;
            Py_RETURN_NONE;
        }
    return PyErr_Format(PyExc_ValueError, "this processor, or this build, has no '%s'", name);
}

static PyMethodDef methods[] = {{"measure", measure, METH_VARARGS, measure_doc},
                                {"sweep", sweep, METH_VARARGS, sweep_doc},
                                {"norms", norms, METH_VARARGS, norms_doc},
                                {"small", small, METH_VARARGS, small_doc},
                                {"compare", compare, METH_VARARGS, compare_doc},
                                {"compare_stored", compare_stored, METH_VARARGS, compare_stored_doc},
                                {"count_window", count_window, METH_VARARGS, count_window_doc},
                                {"count", count, METH_VARARGS, count_doc},
                                {"extend_checksum", extend_checksum_of, METH_VARARGS, extend_checksum_doc},
                                {"fletcher32", fletcher32_of, METH_VARARGS, fletcher32_doc},
                                {"list_folder", list_folder_of, METH_VARARGS, list_folder_doc},
                                {"unshuffle", unshuffle_of, METH_VARARGS, unshuffle_doc},
                                {"use_instructions", use_instructions, METH_VARARGS, use_instructions_doc},
                                {NULL, NULL, 0, NULL}};

static int prepare(PyObject *module)
{
    prepare_checksums();
    prepare_mapping();
    instructions = best_instructions = find_instructions();
    PyObject *names = PyTuple_New((Py_ssize_t)best_instructions + 1);
    if (!names)
        return -1;
    for (int i = PORTABLE; i <= (int)best_instructions; i++) {
        PyObject *const name = PyUnicode_FromString(instruction_names[i]);
        if (!name || PyTuple_SetItem(names, i, name) < 0) {
            Py_DECREF(names);
            return -1;
        }
    }
    if (PyModule_AddObject(module, "INSTRUCTIONS", names) < 0) {
        Py_DECREF(names);
        return -1;
    }
    /* grows with every change of what Python may expect */
    return PyModule_AddIntConstant(module, "VERSION", 8) < 0 || PyModule_AddIntConstant(module, "SCRATCH", (long)SCRATCH) < 0 ? -1 : 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, prepare},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL}};

static PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "ckpt_inspect.native.loops",
                             .m_doc = "Loops over elements.", .m_size = 0, .m_methods = methods, .m_slots = slots};

PyMODINIT_FUNC PyInit_loops(void)
{
    return PyModuleDef_Init(&module);
}
