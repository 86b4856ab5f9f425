/* Features (storage/catalog/features.h) as ApiVersions shows them: which are supported, which are agreed on, and the epoch of that. */
#pragma once
#include "net/conn/request.h"

/* False: no memory. */
bool features_show(struct request *req, struct api_versions_response *r) must_use;
