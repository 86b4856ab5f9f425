/* The names of Kafka's error codes. */
#include "storage/kerr.h"

const char *kerr_name(enum kerr code)
{
    switch (code) {
#define KERR_CASE(number, name) \
    case KERR_##name: return #name;
        KERR_LIST(KERR_CASE)
#undef KERR_CASE
    }
    return "UNKNOWN";
}
