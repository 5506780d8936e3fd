/* Memory that the host may see: in confidential guests it takes the firmware's IOMMU protocol to make some. */

#ifndef SHARED_MEMORY_H
#define SHARED_MEMORY_H

#include "efi.h"

struct shared_memory {
	u8 *data;
	u64 device; /* the address by which the host knows it */
	u64 pages;
	struct iommu *iommu; /* 0: all memory is shared */
	void *mapping;
};

/* The firmware's IOMMU protocol; 0 where the guest is not confidential. */
struct iommu *find_iommu(struct boot_services *boot);

/* `data` is 0 where that fails. */
void allocate_shared(struct boot_services *boot, struct iommu *iommu, u64 size, struct shared_memory *memory);

void free_shared(struct boot_services *boot, struct shared_memory *memory);

#endif
