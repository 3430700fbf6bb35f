/* SPDX-License-Identifier: MIT */
/* turn.h - a server made in a loop with a batch reports to the batch. */
#ifndef SMW_TURN_H
#define SMW_TURN_H

#include "smw.h"

void turn_adopt(smw_batch *batch, smw_server *server);

#endif
