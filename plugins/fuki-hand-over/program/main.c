/* The program's table, which the builder fills in, and its entry. fuki_build/formats/hand_over_program.py writes the table. */

#include "hand_over.h"

struct table {
	char magic[8];
	u16 version, size;
	u32 entry; /* where the program starts, from the section's start */
	u32 stub_entry; /* where the stub starts, from the image's start */
	u32 options, reserved;
	char interface[20];
};

_Static_assert(sizeof(struct table) == 48, "the table that fuki writes");

typedef status(EFIAPI *entry_point)(void *handle, struct system_table *system);

/* Volatile, or the compiler would use the zeros that it sees. tools/build_program.py fills in `entry`. */
__attribute__((section(".table"), used)) const volatile struct table table = {
	.magic = "FUKIHAND",
	.version = 1,
	.size = sizeof(struct table),
	.interface = "vm-launch-update",
};

status EFIAPI efi_main(void *handle, struct system_table *system)
{
	const u8 *base = hand_over(handle, system, table.options);
	const status load_error = 1ull << 63 | 1;

	if (!base)
		return load_error;
	return ((entry_point)(base + table.stub_entry))(handle, system);
}
