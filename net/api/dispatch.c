/* Which API is served by which handler. */
#include "net/api/api.h"

api_run_fn *api_handler(int16_t key)
{
    switch (key) {
    case KAPI_produce: return produce_run;
    case KAPI_fetch: return fetch_run;
    case KAPI_api_versions: return api_versions_run;
    default: return NULL; /* no enum: any number may come from the wire */
    }
}
