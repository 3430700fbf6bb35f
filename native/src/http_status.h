/* SPDX-License-Identifier: MIT */
#ifndef SMW_HTTP_STATUS_H
#define SMW_HTTP_STATUS_H

#include "bytes.h"

/* The reason phrase of a status (RFC 9110 15 and the IANA registry); empty when it
 * has none. */
smw_str http_reason(int status);

/* RFC 9110 6.4.1: whether an answer with this status may have content at all. */
static inline bool http_status_has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

#endif
