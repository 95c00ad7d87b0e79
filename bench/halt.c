// The init of the peer's guest: ends the machine at once.
#include <sys/reboot.h>
int main(void) { return reboot(RB_AUTOBOOT); }
