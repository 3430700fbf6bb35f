/* SPDX-License-Identifier: MIT */
#include "http_body.h"

int http_body_begin(http_body *body, const http_head *head, uint64_t most)
{
    *body = (http_body){.left = most, .is_chunked = head->is_chunked};
    if (head->is_chunked) return 0;
    body->left = head->content_length;
    return head->content_length <= most ? 0 : -413;
}

static ssize_t take_chunked(http_body *body, char *data, size_t length, size_t *content)
{
    ssize_t used = http_chunked_decode(&body->chunked, data, length, content);
    if (*content > body->left) return -413; /* it came before any fault */
    if (used < 0) return used;
    body->left -= *content;
    if (http_chunked_is_complete(&body->chunked)) *body = (http_body){0};
    return used;
}

ssize_t http_body_take(http_body *body, char *data, size_t length, size_t *content)
{
    if (body->is_chunked) return take_chunked(body, data, length, content);
    *content = body->left < length ? (size_t)body->left : length;
    body->left -= *content;
    return (ssize_t)*content;
}

bool http_body_cut(http_body *body, uint64_t most)
{
    if (!body->is_chunked) return body->left <= most;
    if (body->left > most) body->left = most;
    return true;
}
