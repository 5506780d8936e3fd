/* EFI as far as it is used: structures have the members up to the last one needed. Sources: UEFI 2.10, 4.3 to 4.6, 7.2,
 * 8.2, 8.5 and 9.1; UEFI Shell 2.2, 2.2; edk2's MdeModulePkg/Include/Protocol/IoMmu.h. */

#ifndef EFI_H
#define EFI_H

#include "types.h"

#define EFIAPI __attribute__((ms_abi))

typedef u64 status;
typedef struct {
	u32 a;
	u16 b, c;
	u8 d[8];
} guid;

enum { ALLOCATE_ANY_PAGES = 0 };
enum { BOOT_SERVICES_DATA = 4 };
enum { RESET_COLD = 0, RESET_SHUTDOWN = 2 };
enum { VARIABLE_BOOT_SERVICES = 2, VARIABLE_RUNTIME = 4 };
enum { IOMMU_COMMON_BUFFER_64 = 5 };

struct boot_services {
	u8 header[24];
	void *before_allocate_pages[2];
	status(EFIAPI *allocate_pages)(u32 type, u32 memory, u64 pages, u64 *address);
	status(EFIAPI *free_pages)(u64 address, u64 pages);
	void *before_handle_protocol[12];
	status(EFIAPI *handle_protocol)(void *handle, const guid *protocol, void *interface);
	void *before_locate_protocol[20];
	status(EFIAPI *locate_protocol)(const guid *protocol, void *registration, void *interface);
};

struct runtime_services {
	u8 header[24];
	void *before_set_variable[8];
	status(EFIAPI *set_variable)(const u16 *name, const guid *vendor, u32 attributes, u64 size, const void *data);
	void *before_reset_system;
	void(EFIAPI *reset_system)(u32 type, status status, u64 size, const void *data);
};

struct system_table {
	u8 header[24];
	u16 *vendor;
	u64 revision;
	void *consoles[6];
	struct runtime_services *runtime;
	struct boot_services *boot;
	u64 table_count;
	struct {
		guid vendor;
		const u8 *table;
	} *tables;
};

struct loaded_image {
	u32 revision;
	void *parent, *system, *device, *path, *reserved;
	u32 options_size;
	const void *options;
	const u8 *base;
	u64 size;
};

struct shell_parameters {
	const u16 *const *arguments;
	u64 count;
};

struct iommu {
	u64 revision;
	void *set_attribute;
	status(EFIAPI *map)(struct iommu *, u32 operation, const void *memory, u64 *size, u64 *device, void **mapping);
	status(EFIAPI *unmap)(struct iommu *, void *mapping);
	status(EFIAPI *allocate)(struct iommu *, u32 type, u32 memory, u64 pages, void **buffer, u64 attributes);
	status(EFIAPI *free)(struct iommu *, u64 pages, void *buffer);
};

#endif
