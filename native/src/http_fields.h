/* SPDX-License-Identifier: MIT */
#ifndef SMW_HTTP_FIELDS_H
#define SMW_HTTP_FIELDS_H

#include "http_parser.h"

/* The number of a field by its name (lower-case, not empty), or -1. */
int http_field_number(smw_str name);

#endif
