/* SHA-1 (FIPS 180-4, 6.1): what CHIDs are made of, and marks of payloads. Nothing here trusts it. */

#include "sha1.h"

static u32 rotate(u32 value, int count)
{
	return value << count | value >> (32 - count);
}

static void process(struct sha1 *hash)
{
	u32 words[80], a = hash->state[0], b = hash->state[1], c = hash->state[2], d = hash->state[3], e = hash->state[4];

	for (int i = 0; i < 16; i++)
		words[i] = __builtin_bswap32(read32(hash->block + 4 * i));
	for (int i = 16; i < 80; i++)
		words[i] = rotate(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);

	for (int i = 0; i < 80; i++) {
		u32 mixed, next;

		if (i < 20)
			mixed = ((b & c) | (~b & d)) + 0x5A827999;
		else if (i < 40)
			mixed = (b ^ c ^ d) + 0x6ED9EBA1;
		else if (i < 60)
			mixed = ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDC;
		else
			mixed = (b ^ c ^ d) + 0xCA62C1D6;
		next = rotate(a, 5) + mixed + e + words[i];
		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = next;
	}

	hash->state[0] += a;
	hash->state[1] += b;
	hash->state[2] += c;
	hash->state[3] += d;
	hash->state[4] += e;
}

void sha1_begin(struct sha1 *hash)
{
	hash->state[0] = 0x67452301;
	hash->state[1] = 0xEFCDAB89;
	hash->state[2] = 0x98BADCFE;
	hash->state[3] = 0x10325476;
	hash->state[4] = 0xC3D2E1F0;
	hash->size = 0;
}

void sha1_feed(struct sha1 *hash, const void *data, u64 size)
{
	const u8 *bytes = data;

	while (size--) {
		hash->block[hash->size++ % 64] = *bytes++;
		if (hash->size % 64 == 0)
			process(hash);
	}
}

void sha1_end(struct sha1 *hash, u8 digest[SHA1_SIZE])
{
	u64 bits = hash->size * 8;

	sha1_feed(hash, "\x80", 1);
	while (hash->size % 64 != 56)
		sha1_feed(hash, "", 1);
	for (int i = 56; i >= 0; i -= 8) {
		u8 byte = bits >> i;

		sha1_feed(hash, &byte, 1);
	}
	for (int i = 0; i < SHA1_SIZE; i++)
		digest[i] = hash->state[i / 4] >> (24 - i % 4 * 8);
}
