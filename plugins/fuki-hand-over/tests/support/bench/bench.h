/* A machine for the hand-over program: EFI services, SMBIOS, memory below 4 GiB, and fw_cfg with the device
 * vm-launch-update, as QEMU's source has it. hand_over_bench.py lays it out the same way. */

#ifndef BENCH_H
#define BENCH_H

#include "../../../program/types.h"

struct bench {
	/* What the program finds. */
	const u8 *image;
	u64 image_size;
	const u8 *smbios;
	u64 smbios_size; /* as the entry point claims */
	const u8 *options;
	u64 options_size;
	const u16 *shell_argument; /* 0: not started by the EFI shell */
	const u8 *rom; /* what ends at 4 GiB */
	u64 rom_size;
	const u8 *nonsense; /* answers of a host that has lost its mind; 0: an honest one */
	u64 nonsense_size;

	u32 has_loaded_image, has_hypervisor, has_fw_cfg, has_dma, has_file;
	u32 file_size; /* as the directory claims */
	u32 has_iommu, is_out_of_memory, reset_returns;
	u32 program_options;

	/* The device, which outlives the program. */
	u32 started_from_igvm, refuses_images, is_locked, host_is_next, has_guest_igvm;
	u8 device[56];

	/* What the program did. */
	u32 returned; /* to start the stub */
	u32 stopped, resets, reset_type;
	u32 variables, variable_size;
	u8 variable[512];
	u32 writes, reads;
	u32 strayed; /* memory that the host was told of and cannot see */
	u32 beyond_rom; /* pages read that no firmware fills */
	u64 pages_left; /* that were not given back */
	u8 *given;
	u64 given_size;
};

void bench_run(struct bench *bench);

/* What the device does when the machine resets: 1 where the guest's firmware starts, 0 where the host's does. */
int bench_reset(struct bench *bench);

void bench_free(struct bench *bench);

#endif
