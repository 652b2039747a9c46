/* part: how far a piece of work is, told to whoever waits for it, who may end it. */
#ifndef OBI_QUANT_PTQ_PART_H
#define OBI_QUANT_PTQ_PART_H

#include <stddef.h>

#include "core/status.h"

/* How much is done, 0 to 1; another status than OBI_OK ends the work, which returns it. */
typedef struct obi_part {
    obi_status (*tell)(void *user, double part, const char *what); /* NULL: nobody waits */
    void *user;
} obi_part;

static inline obi_status obi_part_tell(obi_part part, double done, const char *what)
{
    return part.tell ? part.tell(part.user, done, what) : OBI_OK;
}

/* A part of a part: from `first` on, `share` of the whole. */
typedef struct obi_part_share {
    obi_part whole;
    double first, share;
    const char *what; /* told instead of what the piece says; NULL: that */
} obi_part_share;

static inline obi_status obi_part_tell_share(void *user, double part, const char *what)
{
    const obi_part_share *of = (const obi_part_share *)user;
    return obi_part_tell(of->whole, of->first + of->share * part, of->what ? of->what : what);
}

/* The piece as a part, while *share is there. */
static inline obi_part obi_part_of(obi_part_share *share) { return (obi_part){ obi_part_tell_share, share }; }

#endif
