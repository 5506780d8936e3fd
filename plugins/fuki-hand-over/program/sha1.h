#ifndef SHA1_H
#define SHA1_H

#include "types.h"

#define SHA1_SIZE 20

struct sha1 {
	u32 state[5];
	u64 size;
	u8 block[64];
};

void sha1_begin(struct sha1 *hash);
void sha1_feed(struct sha1 *hash, const void *data, u64 size);
void sha1_end(struct sha1 *hash, u8 digest[SHA1_SIZE]);

#endif
