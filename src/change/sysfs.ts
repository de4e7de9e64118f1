/** The files through which Linux gives and takes drivers and virtual functions; another root serves tests. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, join } from 'node:path';

export class Sysfs {
  readonly root: string;
  constructor(root = '/') {
    this.root = root;
  }

  at(...parts: readonly string[]): string {
    return join(this.root, ...parts);
  }

  device(address: string, file = ''): string {
    return this.at('sys/bus/pci/devices', address, file);
  }

  /** Trimmed; null where there is no such file. */
  read(path: string): string | null {
    return orNull(() => readFileSync(path, 'utf8').trim());
  }

  /** The last part of a link's target; null where there is none. */
  link(path: string): string | null {
    return orNull(() => basename(readlinkSync(path)));
  }

  /** The whole target of a link; null where there is none. */
  target(path: string): string | null {
    return orNull(() => readlinkSync(path));
  }

  list(path: string): string[] {
    return orNull(() => readdirSync(path).sort()) ?? [];
  }

  /** One write(2), off this thread: the kernel may keep a writer waiting for as long as somebody holds the device. */
  async write(path: string, text: string): Promise<void> {
    const file = await open(path, 'w');
    try {
      await file.write(text);
    } finally {
      await file.close();
    }
  }

  exists(address: string): boolean {
    return this.target(this.at('sys/bus/pci/devices', address)) !== null;
  }

  driver(address: string): string | null {
    return this.link(this.device(address, 'driver'));
  }

  /** `driver_override`; the kernel prints its null pointer for none. */
  override(address: string): string | null {
    const text = this.read(this.device(address, 'driver_override'));
    return text === '' || text === '(null)' ? null : text;
  }

  group(address: string): string | null {
    return this.link(this.device(address, 'iommu_group'));
  }

  /** What tells whether the same device is at an address still. */
  identity(address: string): string | null {
    const parts = ['vendor', 'device', 'subsystem_vendor', 'subsystem_device', 'class'];
    const texts = parts.map((part) => this.read(this.device(address, part)));
    return texts[0] === null ? null : texts.map((text) => text ?? '').join(' ');
  }

  bootId(): string {
    return this.read(this.at('proc/sys/kernel/random/boot_id')) ?? 'unknown';
  }
}

function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw error;
  }
}
