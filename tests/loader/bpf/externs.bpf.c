// Externs of .kconfig and .ksyms, strong and weak.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern int LINUX_KERNEL_VERSION __kconfig;
extern _Bool CONFIG_BPF __kconfig;
extern enum libbpf_tristate CONFIG_BPF_SYSCALL __kconfig;
extern int CONFIG_HZ __kconfig;
extern char CONFIG_DEFAULT_HOSTNAME[8] __kconfig;
extern int CONFIG_SKEP_NOT_THERE __kconfig __weak;
extern const void skep_missing_symbol __ksym __weak;
void skep_missing_kfunc(void) __ksym __weak;

int seen;

SEC("xdp")
int use_externs(struct xdp_md *ctx) {
  if (CONFIG_BPF && CONFIG_BPF_SYSCALL == TRI_YES) seen = LINUX_KERNEL_VERSION + CONFIG_HZ;
  if (CONFIG_SKEP_NOT_THERE) seen = CONFIG_DEFAULT_HOSTNAME[1];
  if (&skep_missing_symbol) seen = 1;
  if (skep_missing_kfunc) skep_missing_kfunc();
  return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
