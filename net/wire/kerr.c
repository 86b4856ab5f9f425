/* Names of Kafka's error codes, for logs. */
#include "net/wire/kerr.h"

const char *kerr_name(int16_t code)
{
    switch (code) { /* over a number that may come from the wire, so it has a default */
#define KERR_CASE(number, name) \
    case number: return #name;
        KERR_LIST(KERR_CASE)
#undef KERR_CASE
    default: return "?";
    }
}
