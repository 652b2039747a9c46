/* feed_token: a token that stays one submission, recorded once. Tests of such commands use it: a session that finds two tokens late in a
 * row takes the device for a slow one and cuts the next (engine/pace), and on a busy machine every device is late now and then. */
#ifndef OB_TESTS_ENGINE_FEED_TOKEN_H
#define OB_TESTS_ENGINE_FEED_TOKEN_H

#include "engine/session.h"

static inline obi_status feed_token(obi_session *session, uint32_t id)
{
    session->late = false;
    return obi_session_feed(session, &id, 1);
}

#endif
