#include "shared_memory.h"

#include "firmware.h"

struct iommu *find_iommu(struct boot_services *boot)
{
	const guid protocol = {0x4E939DE9, 0xD948, 0x4B0F, {0x88, 0xED, 0xE6, 0xE1, 0xCE, 0x51, 0x7C, 0x1E}};
	struct iommu *iommu = 0;

	return boot->locate_protocol(&protocol, 0, &iommu) ? 0 : iommu;
}

void allocate_shared(struct boot_services *boot, struct iommu *iommu, u64 size, struct shared_memory *memory)
{
	u64 address = 0;

	memory->data = 0;
	memory->iommu = iommu;
	memory->pages = (size + PAGE_SIZE - 1) / PAGE_SIZE;
	size = memory->pages * PAGE_SIZE;

	if (!iommu) {
		if (!boot->allocate_pages(ALLOCATE_ANY_PAGES, BOOT_SERVICES_DATA, memory->pages, &address))
			memory->data = (u8 *)address;
		memory->device = address;
		return;
	}

	void *buffer = 0;
	u64 mapped = size;

	if (iommu->allocate(iommu, ALLOCATE_ANY_PAGES, BOOT_SERVICES_DATA, memory->pages, &buffer, 0))
		return;
	memory->data = buffer;
	if (iommu->map(iommu, IOMMU_COMMON_BUFFER_64, buffer, &mapped, &memory->device, &memory->mapping)) {
		memory->mapping = 0;
		free_shared(boot, memory);
	} else if (mapped < size) {
		free_shared(boot, memory);
	}
}

void free_shared(struct boot_services *boot, struct shared_memory *memory)
{
	struct iommu *iommu = memory->iommu;

	if (!memory->data)
		return;
	if (!iommu) {
		boot->free_pages((u64)memory->data, memory->pages);
	} else {
		if (memory->mapping)
			iommu->unmap(iommu, memory->mapping);
		iommu->free(iommu, memory->pages, memory->data);
	}
	memory->data = 0;
}
