/* The mapping from errno, and a text for each error. */
#include "core/err.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void errno_maps_to_what_the_caller_can_decide_on(void **state)
{
    (void)state;
    static const struct {
        int from;
        enum err to;
    } cases[] = {
        {0, ERR_NONE},
        {ENOENT, ERR_NOT_FOUND},
        {EEXIST, ERR_EXISTS},
        {ENOSPC, ERR_NO_SPACE},
        {EDQUOT, ERR_NO_SPACE},
        {EFBIG, ERR_NO_SPACE},
        {EIO, ERR_IO},
        {ENOMEM, ERR_NO_MEMORY},
        {ENOSYS, ERR_UNSUPPORTED},
        {EOPNOTSUPP, ERR_UNSUPPORTED},
        {EPERM, ERR_UNSUPPORTED},
        {EAFNOSUPPORT, ERR_UNSUPPORTED},
        {EADDRNOTAVAIL, ERR_UNSUPPORTED},
        {EWOULDBLOCK, ERR_BUSY},
        {EADDRINUSE, ERR_BUSY},
        {EACCES, ERR_PERMISSION},
        {EROFS, ERR_READ_ONLY},
        {EMFILE, ERR_TOO_MANY_FILES},
        {ENFILE, ERR_TOO_MANY_FILES},
        {EINVAL, ERR_INVALID},
        {EPIPE, ERR_CLOSED},
        {ECONNRESET, ERR_CLOSED},
        {ESTALE, ERR_IO}, /* unknown to us: never retried as if it had worked */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(err_from_errno(cases[i].from), cases[i].to);
}

static void every_error_has_a_text_of_its_own(void **state)
{
    (void)state;
    for (int a = ERR_NONE; a <= ERR_CLOSED; a++) {
        assert_true(strlen(err_text((enum err)a)) > 0);
        for (int b = ERR_NONE; b < a; b++)
            assert_string_not_equal(err_text((enum err)a), err_text((enum err)b));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errno_maps_to_what_the_caller_can_decide_on),
        cmocka_unit_test(every_error_has_a_text_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
