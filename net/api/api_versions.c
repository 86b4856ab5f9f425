/* ApiVersions: what the broker speaks, which features it has, and who the client is. */
#include "net/api/api.h"
#include "net/api/features.h"
#include "net/api/reply.h"
#include <stdio.h>

static bool is_alphanumeric(uint8_t ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9');
}

/* Kafka's rule: [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])? */
static bool is_software_legal(struct kview v)
{
    if (v.n <= 0 || !is_alphanumeric(v.at[0]) || !is_alphanumeric(v.at[v.n - 1]))
        return false;
    for (int32_t i = 0; i < v.n; i++)
        if (!is_alphanumeric(v.at[i]) && v.at[i] != '-' && v.at[i] != '.')
            return false;
    return true;
}

/* Checked characters only: the text goes into log lines. */
static void remember_software(struct conn *c, const struct api_versions_request *m)
{
    snprintf(c->software, sizeof c->software, "%.*s %.*s", m->client_software_name.n,
             (const char *)m->client_software_name.at, m->client_software_version.n,
             (const char *)m->client_software_version.at);
}

/* KIP-1242: the client meant another cluster or node, for example because an address was given to someone else. */
static bool is_misrouted(const struct server *sv, const struct api_versions_request *m)
{
    const char *own = sv->root->cluster_id;
    size_t own_bytes = strlen(own);
    if (m->cluster_id.n >= 0 && ((size_t)m->cluster_id.n != own_bytes || memcmp(m->cluster_id.at, own, own_bytes) != 0))
        return true;
    return m->node_id >= 0 && m->node_id != topology_own_id(sv);
}

static enum kerr judge_api_versions(struct request *req, const struct api_versions_request *m)
{
    if (req->version < 3)
        return KERR_NONE; /* it does not say who it is */
    if (!is_software_legal(m->client_software_name) || !is_software_legal(m->client_software_version))
        return KERR_INVALID_REQUEST;
    remember_software(request_conn(req), m);
    return is_misrouted(req->server, m) ? KERR_REBOOTSTRAP_REQUIRED : KERR_NONE;
}

static int32_t list_apis(struct api_version *v)
{
    int32_t count = 0;
    for (int32_t i = 0; i < kapi_count(); i++) {
        const struct kapi *api = kapi_at(i);
        if (!api_row(api->key))
            continue;
        api_version_init(&v[count]);
        v[count].api_key = api->key;
        v[count].min_version = api->advertised;
        v[count++].max_version = api->last;
    }
    return count;
}

void api_versions_run(struct request *req)
{
    struct api_versions_request *m = REQUEST_DECODE(req, api_versions_request);
    if (!m)
        return;
    struct api_versions_response r;
    api_versions_response_init(&r);
    r.api_keys.v = request_alloc(req, (size_t)kapi_count() * sizeof *r.api_keys.v);
    if (!r.api_keys.v) {
        request_fail(req, no_memory);
        return;
    }
    r.error_code = (int16_t)judge_api_versions(req, m);
    if (r.error_code == KERR_NONE) {
        r.api_keys.n = list_apis(r.api_keys.v);
        if (!features_show(req, &r)) {
            request_fail(req, no_memory);
            return;
        }
    }
    REQUEST_REPLY(req, api_versions_response, &r);
}
