#ifndef CHID_H
#define CHID_H

#include "smbios.h"

#define CHID_SIZE 16

/* The types that the stub tries and that need no display panel, in its order. */
#define CHID_TYPES 9
u8 chid_type(u32 rank);

/* The machine's hardware id of that rank, in the order of an EFI GUID's bytes. */
void chid(const struct identity *identity, u32 rank, u8 id[CHID_SIZE]);

#endif
