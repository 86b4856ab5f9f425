/* CreateDelegationToken, RenewDelegationToken, ExpireDelegationToken, DescribeDelegationToken. A token stands for somebody who proved who he
 * is; on listeners without authentication nobody did, and Kafka answers DELEGATION_TOKEN_REQUEST_NOT_ALLOWED there, whatever is asked. */
#include "net/api/api.h"
#include "net/api/reply.h"

enum { NO_TIME = -1 };

/* Whom a token would be for: an owner who is named, or else the client, which is nobody in particular. */
static void name_token_owner(const struct create_delegation_token_request *m,
                             struct create_delegation_token_response *r)
{
    r->token_requester_principal_type = r->principal_type = view_of("User");
    r->token_requester_principal_name = r->principal_name = view_of("ANONYMOUS");
    if (m->owner_principal_name.n > 0) {
        if (m->owner_principal_type.n >= 0)
            r->principal_type = m->owner_principal_type;
        r->principal_name = m->owner_principal_name;
    }
}

void create_delegation_token_run(struct request *req)
{
    struct create_delegation_token_request *m = REQUEST_DECODE(req, create_delegation_token_request);
    if (!m)
        return;
    struct create_delegation_token_response r;
    create_delegation_token_response_init(&r);
    r.error_code = KERR_DELEGATION_TOKEN_REQUEST_NOT_ALLOWED;
    name_token_owner(m, &r);
    r.issue_timestamp_ms = r.expiry_timestamp_ms = r.max_timestamp_ms = NO_TIME;
    REQUEST_REPLY(req, create_delegation_token_response, &r);
}

void renew_delegation_token_run(struct request *req)
{
    if (!REQUEST_DECODE(req, renew_delegation_token_request))
        return;
    struct renew_delegation_token_response r;
    renew_delegation_token_response_init(&r);
    r.error_code = KERR_DELEGATION_TOKEN_REQUEST_NOT_ALLOWED;
    r.expiry_timestamp_ms = NO_TIME;
    REQUEST_REPLY(req, renew_delegation_token_response, &r);
}

void expire_delegation_token_run(struct request *req)
{
    if (!REQUEST_DECODE(req, expire_delegation_token_request))
        return;
    struct expire_delegation_token_response r;
    expire_delegation_token_response_init(&r);
    r.error_code = KERR_DELEGATION_TOKEN_REQUEST_NOT_ALLOWED;
    r.expiry_timestamp_ms = NO_TIME;
    REQUEST_REPLY(req, expire_delegation_token_response, &r);
}

void describe_delegation_token_run(struct request *req)
{
    if (!REQUEST_DECODE(req, describe_delegation_token_request))
        return;
    struct describe_delegation_token_response r;
    describe_delegation_token_response_init(&r);
    r.error_code = KERR_DELEGATION_TOKEN_REQUEST_NOT_ALLOWED;
    REQUEST_REPLY(req, describe_delegation_token_response, &r);
}
