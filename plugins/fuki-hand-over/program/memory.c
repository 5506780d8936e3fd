/* What the compiler calls by itself (GCC manual, "Standards"). */

#include "types.h"

void *memcpy(void *to, const void *from, u64 size)
{
	u8 *target = to;
	const u8 *source = from;

	while (size--)
		*target++ = *source++;
	return to;
}

void *memset(void *to, int value, u64 size)
{
	u8 *target = to;

	while (size--)
		*target++ = value;
	return to;
}
