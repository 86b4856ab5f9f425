/* What our own functions return when a machine or an input fails. Kafka's error codes are another thing (storage/kerr.h).
 * An enum err cannot be ignored: every function that returns it is must_use. */
#pragma once
#include "core/base.h"

enum err {
    ERR_NONE = 0,
    ERR_NOT_FOUND,      /* ENOENT */
    ERR_EXISTS,         /* EEXIST */
    ERR_NO_SPACE,       /* ENOSPC, EDQUOT, EFBIG: retriable once there is room */
    ERR_IO,             /* EIO and everything else a disk answers: never retried as if it had worked */
    ERR_CORRUPT,        /* bytes that must have been valid are not */
    ERR_NO_MEMORY,      /* heap, pool or budget exhausted */
    ERR_UNSUPPORTED,    /* ENOSYS, EOPNOTSUPP, EPERM of a kernel feature */
    ERR_BUSY,           /* a lock or an address is taken */
    ERR_PERMISSION,     /* EACCES */
    ERR_READ_ONLY,      /* EROFS */
    ERR_TOO_MANY_FILES, /* EMFILE, ENFILE */
    ERR_INVALID,        /* a value that the caller gave makes no sense */
    ERR_CLOSED,         /* the peer or the broker is going away */
};

/* `os_errno` is positive. 0 gives ERR_NONE. */
enum err err_from_errno(int os_errno);
/* A short English phrase, never NULL, static. */
const char *err_text(enum err err);
/* Ignores an error on purpose; the caller's comment says why. */
static inline void err_ignore(enum err err)
{
    (void)err;
}
