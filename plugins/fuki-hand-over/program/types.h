/* Words of fixed size, and reading them where they stand unaligned. Little endian, as x86-64 is. */

#ifndef TYPES_H
#define TYPES_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

/* Bytes somewhere; whoever has one may read `size` bytes from `data`. */
struct span {
	const u8 *data;
	u64 size;
};

static inline u16 read16(const u8 *bytes)
{
	return bytes[0] | bytes[1] << 8;
}

static inline u32 read32(const u8 *bytes)
{
	u32 value;

	__builtin_memcpy(&value, bytes, sizeof value);
	return value;
}

static inline u64 read64(const u8 *bytes)
{
	u64 value;

	__builtin_memcpy(&value, bytes, sizeof value);
	return value;
}

static inline int equal(const void *one, const void *other, u64 size)
{
	const u8 *a = one, *b = other;

	while (size--)
		if (*a++ != *b++)
			return 0;
	return 1;
}

/* The bytes before the first NUL; all of them where there is none. */
static inline u64 text_size(const u8 *text, u64 limit)
{
	u64 size = 0;

	while (size < limit && text[size])
		size++;
	return size;
}

#endif
