/* Hardware ids as systemd-stub makes them (chid.c and efi-string.c, 262): missing fields hash as empty ones. */

#include "chid.h"
#include "sha1.h"

#define BIT(field) (1 << (field))

/* Types by rank, and the fields of each; they are joined in the order of `enum field`. */
static const struct {
	u8 type, fields;
} types[CHID_TYPES] = {
	{3, BIT(MANUFACTURER) | BIT(FAMILY) | BIT(PRODUCT) | BIT(SKU) | BIT(BOARD_MANUFACTURER) | BIT(BOARD_PRODUCT)},
	{6, BIT(MANUFACTURER) | BIT(SKU) | BIT(BOARD_MANUFACTURER) | BIT(BOARD_PRODUCT)},
	{8, BIT(MANUFACTURER) | BIT(PRODUCT) | BIT(BOARD_MANUFACTURER) | BIT(BOARD_PRODUCT)},
	{10, BIT(MANUFACTURER) | BIT(FAMILY) | BIT(BOARD_MANUFACTURER) | BIT(BOARD_PRODUCT)},
	{4, BIT(MANUFACTURER) | BIT(FAMILY) | BIT(PRODUCT) | BIT(SKU)},
	{5, BIT(MANUFACTURER) | BIT(FAMILY) | BIT(PRODUCT)},
	{7, BIT(MANUFACTURER) | BIT(SKU)},
	{9, BIT(MANUFACTURER) | BIT(PRODUCT)},
	{11, BIT(MANUFACTURER) | BIT(FAMILY)},
};

u8 chid_type(u32 rank)
{
	return types[rank].type;
}

static struct span strip(struct span text)
{
	while (text.size && *text.data == ' ')
		text.data++, text.size--;
	while (text.size && *text.data == '0')
		text.data++, text.size--;
	while (text.size && text.data[text.size - 1] == ' ')
		text.size--;
	return text;
}

static void feed_unit(struct sha1 *hash, u16 unit)
{
	u8 bytes[2] = {unit, unit >> 8};

	sha1_feed(hash, bytes, sizeof bytes);
}

/* Hashes UTF-8 as UTF-16. A sequence that is none is skipped with the whole length that its first byte claims, and so is
 * a character that would need two units. */
static void feed_text(struct sha1 *hash, struct span text)
{
	while (text.size) {
		u8 first = *text.data;
		u64 size = 1;
		u32 character = first;
		int valid = 1;

		if (first >= 0x80) {
			while (size < 7 && first & 0x80 >> size)
				size++;
			/* A lone continuation, 0xFE and 0xFF claim no length. */
			valid = size >= 2 && size <= 6 && size <= text.size;
			if (size < 2 || size > 6)
				size = 1;
			character = first & 0x7F >> size;
			for (u64 i = 1; valid && i < size; i++) {
				valid = (text.data[i] & 0xC0) == 0x80;
				character = character << 6 | (text.data[i] & 0x3F);
			}
		}

		if (valid && (character < 0xD800 || (character >= 0xE000 && character <= 0xFFFF)))
			feed_unit(hash, character);
		if (size > text.size)
			return;
		text.data += size;
		text.size -= size;
	}
}

void chid(const struct identity *identity, u32 rank, u8 id[CHID_SIZE])
{
	static const u8 namespace[16] = {0x70, 0xFF, 0xD8, 0x12, 0x4C, 0x7F, 0x4C, 0x7D};
	/* Where each byte of a UUID stands in an EFI GUID. */
	static const u8 order[CHID_SIZE] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
	u8 digest[SHA1_SIZE];
	struct sha1 hash;
	int first = 1;

	sha1_begin(&hash);
	sha1_feed(&hash, namespace, sizeof namespace);
	for (int field = 0; field < FIELDS; field++) {
		if (!(types[rank].fields & BIT(field)))
			continue;
		if (!first)
			feed_unit(&hash, '&');
		first = 0;
		feed_text(&hash, strip(identity->fields[field]));
	}
	sha1_end(&hash, digest);

	digest[6] = (digest[6] & 0x0F) | 0x50; /* version 5 */
	digest[8] = (digest[8] & 0x3F) | 0x80; /* RFC 9562's variant */
	for (int i = 0; i < CHID_SIZE; i++)
		id[i] = digest[order[i]];
}
