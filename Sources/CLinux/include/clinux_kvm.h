// <linux/kvm.h> as Swift can see it: ioctl numbers are macros with casts, which Swift does not import.
#pragma once
#include "clinux_files.h"
#include <linux/kvm.h>
#include <stddef.h>

#define CLINUX_KVM(name) static const unsigned long clinux_##name = name;
CLINUX_KVM(KVM_GET_API_VERSION)
CLINUX_KVM(KVM_CREATE_VM)
CLINUX_KVM(KVM_CHECK_EXTENSION)
CLINUX_KVM(KVM_GET_VCPU_MMAP_SIZE)
CLINUX_KVM(KVM_GET_SUPPORTED_CPUID)
CLINUX_KVM(KVM_SET_USER_MEMORY_REGION)
CLINUX_KVM(KVM_SET_TSS_ADDR)
CLINUX_KVM(KVM_SET_IDENTITY_MAP_ADDR)
CLINUX_KVM(KVM_CREATE_VCPU)
CLINUX_KVM(KVM_ENABLE_CAP)
CLINUX_KVM(KVM_SET_GSI_ROUTING)
CLINUX_KVM(KVM_IRQFD)
CLINUX_KVM(KVM_IOEVENTFD)
CLINUX_KVM(KVM_SIGNAL_MSI)
CLINUX_KVM(KVM_RUN)
CLINUX_KVM(KVM_GET_REGS)
CLINUX_KVM(KVM_SET_REGS)
CLINUX_KVM(KVM_GET_SREGS)
CLINUX_KVM(KVM_SET_SREGS)
CLINUX_KVM(KVM_SET_CPUID2)
CLINUX_KVM(KVM_SET_MSRS)
CLINUX_KVM(KVM_GET_LAPIC)
CLINUX_KVM(KVM_SET_LAPIC)
CLINUX_KVM(KVM_SET_MP_STATE)
CLINUX_KVM(KVM_GET_TSC_KHZ)
#undef CLINUX_KVM

#define CLINUX_MAXIMUM_CPUID_ENTRIES 256
// struct kvm_cpuid2, kvm_irq_routing and kvm_msrs with room for their entries.
struct clinux_cpuid { uint32_t nent, padding; struct kvm_cpuid_entry2 entries[CLINUX_MAXIMUM_CPUID_ENTRIES]; };
_Static_assert(offsetof(struct clinux_cpuid, entries) == sizeof(struct kvm_cpuid2), "layout of kvm_cpuid2");
static inline struct kvm_cpuid_entry2 *clinux_cpuid_entries(struct clinux_cpuid *table) { return table->entries; }

static inline long clinux_kvm_set_routes(int vm, const struct kvm_irq_routing_entry *entries, unsigned count) {
  struct { uint32_t nr, flags; struct kvm_irq_routing_entry entries[64]; } table = {.nr = count};
  if (count > 64) return -EINVAL;
  for (unsigned i = 0; i < count; i++) table.entries[i] = entries[i];
  return clinux_result(ioctl(vm, KVM_SET_GSI_ROUTING, &table));
}
static inline long clinux_kvm_set_msr(int vcpu, uint32_t index, uint64_t value) {
  struct { uint32_t nmsrs, padding; struct kvm_msr_entry entry; } table = {.nmsrs = 1, .entry = {.index = index, .data = value}};
  int result = ioctl(vcpu, KVM_SET_MSRS, &table);
  return result < 0 ? -(long)errno : result == 1 ? 0 : -EINVAL;
}
