/* What a machine can do with two files at least: a cost model of `analyze`, which does less and reads nothing out of it.

   usage: benchmark_limit MODE FILE ...      a thread for each file, which reads it in pieces that stay in the cache
   MODE 0  reads
        1  also takes a checksum of every byte, by the processor's instruction where there is one
        2  also takes a root and a quotient of every float, and counts one of three (an element is weight, first and
           second moment) in a histogram by its leading bits

   cc -O3 -march=native -ffast-math -pthread benchmark_limit.c -lm */
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__SSE4_2__)
#include <nmmintrin.h>
#define STEP(sum, word) ((sum) = _mm_crc32_u64((sum), (word)))
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#define STEP(sum, word) ((sum) = __crc32cd((uint32_t)(sum), (word)))
#else
#define STEP(sum, word) ((sum) = ((sum) << 1) ^ (word))
#endif

enum { PIECE = 1 << 19, LANES = 3, BINS = 1 << 12 };

typedef struct {
    pthread_t thread;
    const char *path;
    int mode, has_failed;
    uint64_t checksum, counts[BINS];
    double total;
} Job;

/* Three sums side by side: each instruction waits for the one before in its own. */
static uint64_t checksum_of(const unsigned char *bytes, size_t size)
{
    const size_t words = size / 8 / LANES;
    uint64_t sums[LANES] = {0};
    for (size_t i = 0; i < words; i++)
        for (size_t lane = 0; lane < LANES; lane++) {
            uint64_t word;
            memcpy(&word, bytes + 8 * (lane * words + i), 8);
            STEP(sums[lane], word);
        }
    return sums[0] ^ sums[1] ^ sums[2];
}

static void measure(Job *job, const float *values, size_t count)
{
    enum { SUMS = 16 };
    float sums[SUMS] = {0};
    for (size_t start = 0; start + SUMS <= count; start += SUMS)
        for (size_t i = 0; i < SUMS; i++)
            sums[i] += 1e-3f / (sqrtf(fabsf(values[start + i])) + 1e-7f);
    for (size_t i = 0; i < SUMS; i++)
        job->total += sums[i];
    for (size_t i = 0; i < count; i += 3) {
        uint32_t bits;
        memcpy(&bits, &values[i], 4);
        job->counts[bits >> 19 & (BINS - 1)]++;
    }
}

static void *work(void *argument)
{
    Job *job = argument;
    unsigned char *piece = malloc(PIECE);
    const int file = open(job->path, O_RDONLY);
    job->has_failed = !piece || file < 0;
    for (off_t at = 0; !job->has_failed;) {
        const ssize_t size = pread(file, piece, PIECE, at);
        job->has_failed = size < 0;
        if (size <= 0)
            break;
        if (job->mode > 0)
            job->checksum ^= checksum_of(piece, (size_t)size);
        if (job->mode > 1)
            measure(job, (const float *)piece, (size_t)size / 4);
        at += size;
    }
    if (file >= 0)
        close(file);
    free(piece);
    return NULL;
}

int main(int count, char **arguments)
{
    const int files = count - 2;
    if (files < 1)
        return fprintf(stderr, "usage: %s MODE FILE ...\n", arguments[0]), 2;
    Job *jobs = calloc((size_t)files, sizeof *jobs);
    if (!jobs)
        return 1;
    int status = 0;
    for (int i = 0; i < files; i++) {
        jobs[i].path = arguments[i + 2];
        jobs[i].mode = atoi(arguments[1]);
        if (pthread_create(&jobs[i].thread, NULL, work, &jobs[i]))
            return 1;
    }
    for (int i = 0; i < files; i++) {
        pthread_join(jobs[i].thread, NULL);
        uint64_t counted = 0;
        for (int bin = 0; bin < BINS; bin++)
            counted += jobs[i].counts[bin];
        printf("%s: %llx %llu %g\n", jobs[i].path, (unsigned long long)jobs[i].checksum, (unsigned long long)counted,
               jobs[i].total);
        status |= jobs[i].has_failed;
    }
    return status;
}
