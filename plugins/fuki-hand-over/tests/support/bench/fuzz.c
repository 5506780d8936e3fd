#define _GNU_SOURCE
/* Input: two bytes of flags, four sizes, then SMBIOS, load options, a host's nonsense, firmware below 4 GiB; the rest is
 * the image. hand_over_fuzz.py writes seeds. Each part has memory of its own, so that no read beyond it goes unseen. */

#include <stdlib.h>
#include <string.h>

#include "bench.h"

static u8 *own(const u8 **data, u64 *left, u64 size)
{
	u8 *copy;

	if (size > *left)
		size = *left;
	if (posix_memalign((void **)&copy, 4096, size ? size : 1))
		abort();
	memcpy(copy, *data, size);
	*data += size;
	*left -= size;
	return copy;
}

int LLVMFuzzerTestOneInput(const u8 *data, u64 left)
{
	struct bench bench = {.has_loaded_image = 1, .has_hypervisor = 1, .has_fw_cfg = 1, .has_dma = 1, .file_size = 56};
	u8 flags, *smbios, *options, *nonsense, *rom, *image;
	u64 sizes[4];

	if (left < 10)
		return 0;
	flags = data[0];
	bench.has_iommu = flags & 1;
	bench.has_file = flags >> 1 & 1;
	bench.started_from_igvm = flags >> 2 & 1;
	bench.is_locked = flags >> 3 & 1;
	bench.is_out_of_memory = flags >> 4 & 1;
	bench.reset_returns = flags >> 5 & 1;
	bench.program_options = data[1] & 7;
	for (int i = 0; i < 4; i++)
		sizes[i] = read16(data + 2 + 2 * i);
	data += 10;
	left -= 10;

	bench.smbios_size = sizes[0] < left ? sizes[0] : left;
	bench.smbios = smbios = own(&data, &left, sizes[0]);
	bench.options_size = sizes[1] < left ? sizes[1] : left;
	bench.options = options = own(&data, &left, sizes[1]);
	bench.nonsense_size = sizes[2] < left ? sizes[2] : left;
	nonsense = own(&data, &left, sizes[2]);
	bench.nonsense = flags >> 6 & 1 ? nonsense : 0;
	bench.rom_size = (sizes[3] < left ? sizes[3] : left) / 4096 * 4096;
	bench.rom = rom = own(&data, &left, bench.rom_size);
	bench.image_size = left;
	bench.image = image = own(&data, &left, left);

	bench_run(&bench);
	/* It goes on to the stub, resets, or stops where it was told to; what it took it gives back. */
	if (bench.returned + bench.resets + bench.stopped == 0 || bench.strayed || bench.variables == 0)
		abort();
	if (bench.returned && bench.pages_left)
		abort();

	bench_free(&bench);
	free(smbios), free(options), free(nonsense), free(rom), free(image);
	return 0;
}
