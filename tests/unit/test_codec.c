/* Each codec gives back what its library packed; broken, cut and endless streams are refused within the bound. */
#include "storage/log/codec.h"
#include "core/bytes.h"
#include <isa-l/igzip_lib.h>
#include <lz4frame.h>
#include <setjmp.h>
#include <snappy-c.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <cmocka.h>

enum { PLAIN = 300000 };
static uint8_t plain[PLAIN], packed[2 * PLAIN];

static size_t pack_gzip(void)
{
    static uint8_t level[ISAL_DEF_LVL1_DEFAULT];
    struct isal_zstream z;
    isal_deflate_init(&z);
    z.level = 1;
    z.level_buf = level;
    z.level_buf_size = sizeof level;
    z.gzip_flag = IGZIP_GZIP;
    z.end_of_stream = 1;
    z.next_in = plain;
    z.avail_in = PLAIN;
    z.next_out = packed;
    z.avail_out = sizeof packed;
    assert_int_equal(isal_deflate(&z), COMP_OK);
    return z.total_out;
}

static size_t pack_snappy_raw(void)
{
    size_t n = sizeof packed;
    assert_int_equal(snappy_compress((char *)plain, PLAIN, (char *)packed, &n), SNAPPY_OK);
    return n;
}

static size_t pack_snappy(void)
{
    memcpy(packed, "\x82SNAPPY\0\0\0\0\1\0\0\0\1", 16);
    size_t at = 16;
    for (size_t from = 0; from < PLAIN; from += 32768) {
        size_t n = sizeof packed - at - 4, bytes = PLAIN - from < 32768 ? PLAIN - from : 32768;
        assert_int_equal(snappy_compress((char *)plain + from, bytes, (char *)packed + at + 4, &n), SNAPPY_OK);
        be32_put(packed + at, (uint32_t)n);
        at += 4 + n;
    }
    return at;
}

static size_t pack_lz4(void)
{
    return LZ4F_compressFrame(packed, sizeof packed, plain, PLAIN, NULL);
}

static size_t pack_zstd(void)
{
    return ZSTD_compress(packed, sizeof packed, plain, PLAIN, 1);
}

static const struct {
    enum batch_codec codec;
    size_t (*pack)(void);
} cases[] = {{CODEC_GZIP, pack_gzip},
             {CODEC_SNAPPY, pack_snappy},
             {CODEC_SNAPPY, pack_snappy_raw},
             {CODEC_LZ4, pack_lz4},
             {CODEC_ZSTD, pack_zstd}};

static void every_codec_round_trips(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = cases[i].pack(), bytes = 0;
        uint8_t *out = NULL;
        assert_int_equal(codec_decompress(cases[i].codec, packed, n, CODEC_OUTPUT_MAX, h, &out, &bytes), ERR_NONE);
        assert_int_equal(bytes, PLAIN);
        assert_memory_equal(out, plain, PLAIN);
        heap_free(h, out);
    }
    heap_close(h);
}

static void every_level_of_every_codec_packs(void **state)
{
    (void)state;
    static const struct {
        enum batch_codec codec;
        int32_t levels[8];
    } kinds[] = {{CODEC_NONE, {0}},
                 {CODEC_GZIP, {-1, 1, 2, 3, 4, 6, 7, 9}},
                 {CODEC_SNAPPY, {0}},
                 {CODEC_LZ4, {1, 2, 3, 8, 9, 10, 12, 17}},
                 {CODEC_ZSTD, {-131072, -5, 0, 1, 3, 9, 19, 22}}};
    struct heap *h = heap_open();
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        for (size_t k = 0; k < 8; k++)
            for (size_t bytes = 0; bytes <= PLAIN; bytes = bytes ? bytes * 7 : 1) {
                size_t n = 0, out_bytes = 0, room = sizeof packed;
                uint8_t *out = NULL;
                assert_int_equal(codec_compress(kinds[i].codec, kinds[i].levels[k], plain, bytes, h, packed, room, &n),
                                 ERR_NONE);
                if (kinds[i].codec != CODEC_NONE)
                    assert_int_equal(codec_decompress(kinds[i].codec, packed, n, CODEC_OUTPUT_MAX, h, &out, &out_bytes),
                                     ERR_NONE);
                assert_int_equal(kinds[i].codec == CODEC_NONE ? n : out_bytes, bytes);
                if (bytes)
                    assert_memory_equal(kinds[i].codec == CODEC_NONE ? packed : out, plain, bytes);
                heap_free(h, out);
                if (n > 0)
                    assert_int_equal(
                        codec_compress(kinds[i].codec, kinds[i].levels[k], plain, bytes, h, packed, n - 1, &n),
                        ERR_NO_SPACE);
            }
    heap_close(h);
}

/* As Java's streams: gzip members and zstd frames follow each other. */
static void several_streams_are_one(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    for (enum batch_codec codec = CODEC_GZIP; codec <= CODEC_ZSTD; codec += CODEC_ZSTD - CODEC_GZIP) {
        size_t first = 0, second = 0, bytes = 0;
        uint8_t *out = NULL;
        assert_int_equal(codec_compress(codec, 1, plain, 100000, h, packed, sizeof packed, &first), ERR_NONE);
        assert_int_equal(
            codec_compress(codec, 1, plain + 100000, PLAIN - 100000, h, packed + first, sizeof packed - first, &second),
            ERR_NONE);
        assert_int_equal(codec_decompress(codec, packed, first + second, CODEC_OUTPUT_MAX, h, &out, &bytes), ERR_NONE);
        assert_int_equal(bytes, PLAIN);
        assert_memory_equal(out, plain, PLAIN);
        heap_free(h, out);
    }
    heap_close(h);
}

static void a_cut_stream_is_corrupt(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = cases[i].pack(), bytes;
        uint8_t *out;
        for (size_t cut = 0; cut < n; cut += 1 + n / 97) {
            uint8_t *exact = malloc(cut ? cut : 1); /* so that ASan sees a read behind the end */
            memcpy(exact, packed, cut);
            enum err err = codec_decompress(cases[i].codec, exact, cut, CODEC_OUTPUT_MAX, h, &out, &bytes);
            if (cases[i].pack == pack_snappy && err == ERR_NONE)
                heap_free(h, out); /* chunks that end early are shorter, not broken */
            else
                assert_int_equal(err, ERR_CORRUPT);
            free(exact);
        }
    }
    heap_close(h);
}

static void random_bytes_never_crash(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    unsigned seed = 42;
    for (int round = 0; round < 500; round++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            size_t n = round ? 1 + seed % 400 : cases[i].pack(), bytes;
            uint8_t *out;
            if (round % 2)
                n = cases[i].pack();
            for (int flips = 0; flips < 8; flips++) {
                seed = seed * 1103515245u + 12345u;
                packed[seed % n] ^= (uint8_t)(seed >> 16);
            }
            if (codec_decompress(cases[i].codec, packed, n, CODEC_OUTPUT_MAX, h, &out, &bytes) == ERR_NONE)
                heap_free(h, out);
        }
    heap_close(h);
}

static void a_bomb_stops_at_the_bound(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    uint8_t *out, head[32] = {0};
    size_t bytes;
    memcpy(head, "\xff\xff\xff\xff\x0f", 5); /* raw snappy that claims 4 GiB */
    assert_int_equal(codec_decompress(CODEC_SNAPPY, head, sizeof head, CODEC_OUTPUT_MAX, h, &out, &bytes), ERR_CORRUPT);
    ZSTD_CCtx *z = ZSTD_createCCtx(); /* zstd of CODEC_OUTPUT_MAX + 1 MiB zeros */
    ZSTD_outBuffer o = {packed, sizeof packed, 0};
    for (size_t done = 0; done < (size_t)CODEC_OUTPUT_MAX + (1 << 20); done += PLAIN) {
        static const uint8_t zeros[PLAIN];
        ZSTD_inBuffer in = {zeros, PLAIN, 0};
        while (in.pos < in.size)
            assert_false(ZSTD_isError(ZSTD_compressStream2(z, &o, &in, ZSTD_e_continue)));
    }
    ZSTD_inBuffer none = {NULL, 0, 0};
    assert_int_equal(ZSTD_compressStream2(z, &o, &none, ZSTD_e_end), 0);
    ZSTD_freeCCtx(z);
    assert_int_equal(codec_decompress(CODEC_ZSTD, packed, o.pos, CODEC_OUTPUT_MAX, h, &out, &bytes), ERR_CORRUPT);
    heap_close(h);
}

int main(void)
{
    for (int i = 0; i < PLAIN; i++)
        plain[i] = (uint8_t)((i * 7 + i / 100) % 61 + (i % 1000 < 500 ? 0 : i));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_codec_round_trips),  cmocka_unit_test(every_level_of_every_codec_packs),
        cmocka_unit_test(several_streams_are_one),  cmocka_unit_test(a_cut_stream_is_corrupt),
        cmocka_unit_test(random_bytes_never_crash), cmocka_unit_test(a_bomb_stops_at_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
