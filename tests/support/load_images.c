/* An EFI program that has the firmware load every image that it carries, tells what the firmware said, and ends the
 * machine. None of them is started. Source of the structures: UEFI 2.10, 4.3 to 4.5, 7.4. */

#define EFIAPI __attribute__((ms_abi))
#define DEBUG_PORT 0xE9

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef u64 status;

struct boot_services {
	u8 header[24];
	void *before_load_image[22];
	status(EFIAPI *load_image)(u8 boot_policy, void *parent, const void *path, const void *data, u64 size, void **image);
	void *start_image, *exit;
	status(EFIAPI *unload_image)(void *image);
};

struct runtime_services {
	u8 header[24];
	void *before_reset_system[10];
	void(EFIAPI *reset_system)(u32 type, status status, u64 size, void *data);
};

struct system_table {
	u8 header[24];
	u16 *vendor;
	u64 revision;
	void *consoles[6];
	struct runtime_services *runtime;
	struct boot_services *boot;
};

/* For each image its size, then its bytes, filled up to a multiple of 16; a size of 0 ends them. */
__asm__(".balign 16\nimages: .incbin \"images\"\n");
extern const u8 images[] __attribute__((visibility("hidden")));

static void tell(u8 byte)
{
	__asm__ volatile("outb %0, %1" : : "a"(byte), "Nd"((u16)DEBUG_PORT));
}

status EFIAPI efi_main(void *self, struct system_table *system)
{
	const u8 end_of_path[] = {0x7F, 0xFF, 4, 0};

	for (const u8 *at = images; *(const u64 *)at; at += 16 + ((*(const u64 *)at + 15) & ~15ULL)) {
		void *image = 0;
		status result = system->boot->load_image(0, self, end_of_path, at + 16, *(const u64 *)at, &image);

		/* One that violates security is loaded, and may not be started (7.4.1). */
		if (image)
			system->boot->unload_image(image);
		for (int digit = 15; digit >= 0; digit--)
			tell("0123456789abcdef"[result >> 4 * digit & 15]);
		tell('\n');
	}
	system->runtime->reset_system(2, 0, 0, 0); /* shut down */
	for (;;)
		;
}
