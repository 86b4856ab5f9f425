/* Log lines leave through the ring: in order, whole, counted when dropped, and never waited for. Standard error is a pipe here. */
#include "core/clock.h"
#include "core/log.h"
#include "core/log_ring.h"
#include "core/threads.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { PIPE_BYTES = 4096, TEXT_MAX = 4 << 20, LOGGERS = 4, LINES = 200 };
static int reader = -1, stderr_before = -1;
static char text[TEXT_MAX];

static void pipe_for_stderr(void)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES) >= 0);
    stderr_before = dup(STDERR_FILENO);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    close(ends[1]);
    reader = ends[0];
}

static void stderr_as_before(void)
{
    dup2(stderr_before, STDERR_FILENO);
    close(stderr_before);
}

/* Everything until the last writer of the pipe is gone. */
static void read_all(void *arg)
{
    (void)arg;
    size_t used = 0;
    ssize_t n;
    while ((n = read(reader, text + used, sizeof text - 1 - used)) > 0)
        used += (size_t)n;
    text[used] = 0;
    close(reader);
}

static void log_many(void *arg)
{
    for (int i = 0; i < LINES; i++)
        log_info("line", "from=%d number=%d padding=%0*d", (int)(intptr_t)arg, i, i * 7 % 900 + 1, 0);
}

/* Of each logger, the numbers rise, and no line is torn. Returns how many there are. */
static int count_lines(const char *from_text)
{
    int next[LOGGERS] = {0}, count = 0;
    for (const char *at = from_text; *at; at = strchr(at, '\n') + 1) {
        int from, number;
        assert_non_null(strchr(at, '\n'));
        const char *facts = strstr(at, "line: ");
        if (!facts || facts > strchr(at, '\n') || sscanf(facts, "line: from=%d number=%d", &from, &number) != 2)
            continue;
        assert_true(number >= next[from]);
        next[from] = number + 1;
        count++;
        assert_int_equal(strchr(facts, '\n') - strstr(facts, "padding=") - 8, number * 7 % 900 + 1);
    }
    return count;
}

static void lines_of_many_threads_are_whole_and_in_order(void **state)
{
    (void)state;
    struct thread *loggers[LOGGERS], *taker;
    pipe_for_stderr();
    assert_int_equal(log_ring_start(), ERR_NONE);
    assert_int_equal(thread_start("reader", -1, read_all, NULL, &taker), ERR_NONE);
    for (intptr_t i = 0; i < LOGGERS; i++)
        assert_int_equal(thread_start("logger", -1, log_many, (void *)i, &loggers[i]), ERR_NONE);
    for (int i = 0; i < LOGGERS; i++)
        thread_join(loggers[i]);
    log_ring_stop();
    stderr_as_before();
    thread_join(taker);
    int count = count_lines(text), dropped = 0;
    for (const char *at = text; (at = strstr(at, "log lines dropped: count=")); at++)
        dropped += atoi(at + strlen("log lines dropped: count="));
    assert_int_equal(count + dropped, LOGGERS * LINES);
}

static void a_reader_that_has_stopped_stops_nobody(void **state)
{
    (void)state;
    enum { FLOOD = 20000 };
    struct thread *taker;
    pipe_for_stderr();
    assert_int_equal(log_ring_start(), ERR_NONE);
    uint64_t began = clock_now_ns();
    for (int i = 0; i < FLOOD; i++)
        log_info("line", "from=0 number=%d padding=%0*d", i, i * 7 % 900 + 1, 0);
    assert_true(clock_now_ns() - began < 5 * NS_PER_S);
    assert_int_equal(thread_start("reader", -1, read_all, NULL, &taker), ERR_NONE);
    log_ring_flush();
    log_info("line", "from=1 number=0 padding=%0*d", 1, 0); /* the log goes on */
    log_ring_stop();
    stderr_as_before();
    thread_join(taker);
    int count = count_lines(text);
    assert_in_range(count, 100, FLOOD);
    const char *told = strstr(text, "WARN  log lines dropped: count=");
    assert_non_null(told);
    assert_non_null(strstr(told, "line: from=1 number=0"));
    assert_null(strstr(told, "line: from=0"));
    assert_int_equal(count - 1 + atoi(told + strlen("WARN  log lines dropped: count=")), FLOOD);
}

static void a_stop_does_not_wait_for_a_reader_for_ever(void **state)
{
    (void)state;
    pipe_for_stderr();
    pid_t child = fork();
    if (child == 0) {
        close(reader);
        if (log_ring_start())
            _exit(3);
        for (int i = 0; i < 1000; i++)
            log_info("line", "from=0 number=%d padding=1", i);
        log_ring_stop();
        _exit(7);
    }
    stderr_as_before();
    int status = 0;
    for (int ms = 0; waitpid(child, &status, WNOHANG) == 0; ms++) {
        assert_true(ms < 20000);
        clock_sleep_ms(1);
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
    close(reader);
}

static void a_failed_assertion_loses_no_line(void **state)
{
    (void)state;
    pipe_for_stderr();
    pid_t child = fork();
    if (child == 0) {
        close(reader);
        if (log_ring_start())
            _exit(3);
        for (int i = 0; i < 20; i++)
            log_info("line", "from=0 number=%d padding=%0*d", i, i * 7 % 900 + 1, 0);
        abort();
    }
    stderr_as_before();
    read_all(NULL);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(count_lines(text), 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_many_threads_are_whole_and_in_order),
        cmocka_unit_test(a_reader_that_has_stopped_stops_nobody),
        cmocka_unit_test(a_stop_does_not_wait_for_a_reader_for_ever),
        cmocka_unit_test(a_failed_assertion_loses_no_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
