#ifndef SMBIOS_H
#define SMBIOS_H

#include "types.h"

enum field { MANUFACTURER, FAMILY, PRODUCT, SKU, BOARD_MANUFACTURER, BOARD_PRODUCT, FIELDS };

/* What hardware ids are made of, as the table has it; empty where it has nothing. */
struct identity {
	struct span fields[FIELDS];
};

/* The table that an entry point of either kind leads to. Zero where it is none that the stub would follow. */
struct span smbios_table(const u8 *entry, int is_64_bit);

void smbios_identity(struct span table, struct identity *identity);

#endif
