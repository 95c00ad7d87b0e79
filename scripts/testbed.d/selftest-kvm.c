/* Runs one instruction, HLT in real mode, in a virtual machine, and says how that went. Exit status 0 if the guest halted. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

static int fail(const char *step) {
    perror(step);
    return 1;
}

int main(void) {
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0) return fail("/dev/kvm");
    int machine = ioctl(kvm, KVM_CREATE_VM, 0);
    if (machine < 0) return fail("KVM_CREATE_VM");
    unsigned char *memory = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return fail("mmap");
    memory[0] = 0xf4; /* hlt */
    struct kvm_userspace_memory_region region = {0, 0, 0x1000, 0x1000, (unsigned long)memory};
    if (ioctl(machine, KVM_SET_USER_MEMORY_REGION, &region)) return fail("KVM_SET_USER_MEMORY_REGION");
    int cpu = ioctl(machine, KVM_CREATE_VCPU, 0);
    if (cpu < 0) return fail("KVM_CREATE_VCPU");
    struct kvm_run *run = mmap(NULL, (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
    if (run == MAP_FAILED) return fail("mmap of the vCPU");
    struct kvm_sregs special;
    ioctl(cpu, KVM_GET_SREGS, &special);
    special.cs.base = 0;
    special.cs.selector = 0;
    ioctl(cpu, KVM_SET_SREGS, &special);
    struct kvm_regs registers = {.rip = 0x1000, .rflags = 2};
    ioctl(cpu, KVM_SET_REGS, &registers);
    if (ioctl(cpu, KVM_RUN, 0)) return fail("KVM_RUN");
    printf("exit reason %u\n", run->exit_reason);
    return run->exit_reason == KVM_EXIT_HLT ? 0 : 1;
}
