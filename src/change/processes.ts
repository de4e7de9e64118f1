/** Processes of this host: who holds a file, what they may do, and when they began. */
import type { Sysfs } from './sysfs.ts';

/** Processes with this file open, which may be gone from its folder, as far as this user may see. */
export function holdersOf(sysfs: Sysfs, path: string): string[] {
  const names = [path, `${path} (deleted)`]; // proc_pid_fd(5)
  const holders: string[] = [];
  for (const pid of sysfs.list(sysfs.at('proc')).filter((name) => /^\d+$/.test(name))) {
    try {
      const open = sysfs.list(sysfs.at('proc', pid, 'fd'));
      if (!open.some((fd) => names.includes(sysfs.target(sysfs.at('proc', pid, 'fd', fd)) ?? ''))) continue;
    } catch (error) {
      if (['EACCES', 'EPERM', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) continue;
      throw error;
    }
    holders.push(`${sysfs.read(sysfs.at('proc', pid, 'comm')) ?? 'a process'} (${pid})`);
  }
  return holders;
}

/** Field 22 of /proc/PID/stat: when the process began, in clock ticks since boot. */
export function startOf(sysfs: Sysfs, pid: number): string | undefined {
  const stat = sysfs.read(sysfs.at('proc', `${pid}`, 'stat'));
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

/** linux/capability.h: CAP_IPC_LOCK lifts RLIMIT_MEMLOCK. */
const ipcLock = 14n;

/** How much memory this process may pin; null for any. */
export function lockableBytes(sysfs: Sysfs): bigint | null {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(sysfs.read(sysfs.at('proc/self/status')) ?? '')?.[1] ?? '0';
  if (((BigInt(`0x${effective}`) >> ipcLock) & 1n) === 1n) return null;
  const soft = /^Max locked memory\s+(\d+)/m.exec(sysfs.read(sysfs.at('proc/self/limits')) ?? '')?.[1];
  return soft === undefined ? null : BigInt(soft);
}
