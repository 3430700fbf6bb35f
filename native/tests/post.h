/* SPDX-License-Identifier: MIT */
/* post.h - heads of POSTs whose bodies a test says by itself. */
#ifndef SMW_TEST_POST_H
#define SMW_TEST_POST_H

#define POST(path, length) \
    "POST " path " HTTP/1.1\r\nHost: a\r\nContent-Length: " length "\r\n\r\n"
#define CHUNKED(path) \
    "POST " path " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

#endif
