#ifndef SELECTION_H
#define SELECTION_H

#include "chid.h"
#include "outcome.h"

struct selection {
	struct span fwid, payload;
	u8 chid[CHID_SIZE];
	u32 chid_type;
};

/* The profile that load options ask for; `options` are UTF-16. */
u32 profile_of_options(struct span options);

/* The same for an argument of the EFI shell, which ends with a NUL. */
u32 profile_of_argument(const u16 *argument);

/* Selects firmware for the machine: `image` is the UKI as it was loaded. SELECTED, or why there is none. */
enum reason select_firmware(struct span image, u32 profile, const struct identity *identity,
			    struct selection *selection);

#endif
