/* The Python module `ckpt_inspect.measurement.extension.loops`: arrays of numpy to the loops of loops.c, and their figures back. The
 * interpreter's lock is let go of meanwhile.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "loops.h"

#include <string.h>

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
        PyErr_Format(PyExc_TypeError, "an array of elements '%s' was given: they must be '%c'",
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
    f = measure_piece(&c, value, first, second, under, (size_t)arrays.size, lr, lr_counts, under_counts);
    Py_END_ALLOW_THREADS
    const Py_ssize_t size = arrays.size;
    release(&arrays);
    return Py_BuildValue(
        "{s:n,s:L,s:L,s:L,s:L,s:L,s:L,s:d,s:d,s:d,s:d,s:d,s:d,s:{s:d,s:d,s:d,s:d,s:d,s:d}}", "elements", size, "touched",
        (long long)f.touched, "untouched", (long long)f.untouched, "nonfinite", (long long)f.nonfinite, "negative",
        (long long)f.negative, "epsilon_dominated", (long long)f.epsilon_dominated, "lost", (long long)f.lost,
        "effective_lr_min", f.lr_min, "effective_lr_max", f.lr_max, "second_moment_min", f.under_min, "second_moment_max",
        f.under_max, "update_max", f.update_max, "ratio_max", f.ratio_max, "sums", "effective_lr", f.lr_sum,
        "update_squares", f.update_squares, "weight_squares", f.value_squares, "first_moment_squares", f.first_squares,
        "second_moment", f.second_sum, "ratio_squares", f.ratio_squares);
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
    p = compare_piece(a, b, (size_t)arrays.size);
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
    if (floats_of(&arrays, objects[0], 0, &values) < 0 || counts_of(&arrays, objects[1], &counts) < 0 || !values ||
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

static PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "ckpt_inspect.measurement.extension.loops",
                             .m_doc = "Loops over float32 elements.", .m_size = 0, .m_methods = methods,
                             .m_slots = slots};

PyMODINIT_FUNC PyInit_loops(void)
{
    return PyModuleDef_Init(&module);
}
