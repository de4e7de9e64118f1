/** A tree of sys, proc and dev as a host would have it, written file by file. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { type ProbeDocument, probe } from '../../src/probe/index.ts';
import { spaceOf } from './pci-space.ts';

export interface FakeFunction {
  readonly class: string;
  readonly driver?: string;
  readonly group?: string;
  /** Address of the bridge that it stands behind. */
  readonly below?: string;
  /** Attributes of sysfs. */
  readonly files?: Readonly<Record<string, string>>;
  /** Configuration space. */
  readonly config?: Uint8Array;
  readonly physicalFunction?: string;
}

export class FakeHost {
  readonly root: string;
  readonly #paths = new Map<string, string>();

  constructor() {
    this.root = mkdtempSync(join(tmpdir(), 'vtkit-host-'));
    this.file('proc/net/route', 'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n');
    this.file('proc/net/ipv6_route', '');
    this.file('proc/self/mountinfo', '');
    this.file('proc/swaps', 'Filename Type Size Used Priority\n');
    this.file('proc/consoles', '');
    this.file('proc/interrupts', ' 16: 0 IR-IO-APIC 16-fasteoi x\n');
    this.file('proc/cmdline', 'quiet\n');
    for (const folder of ['sys/class/net', 'sys/class/block', 'sys/class/tty', 'sys/module', 'dev/vfio'])
      this.folder(folder);
    this.folder('sys/kernel/iommu_groups');
  }

  remove(): void {
    rmSync(this.root, { recursive: true });
  }

  folder(path: string): void {
    mkdirSync(join(this.root, path), { recursive: true });
  }

  file(path: string, content: string | Uint8Array): void {
    this.folder(dirname(path));
    writeFileSync(join(this.root, path), content);
  }

  /** A folder in the place of a file: reads fail, as of a file that may not be read (root may read all). */
  unreadable(path: string): void {
    rmSync(join(this.root, path));
    this.folder(path);
  }

  /** A symbolic link with this very text, whose target need not exist. */
  rawLink(path: string, text: string): void {
    this.folder(dirname(path));
    symlinkSync(text, join(this.root, path));
  }

  link(path: string, target: string): void {
    this.folder(dirname(path));
    symlinkSync(relative(dirname(path), target), join(this.root, path));
  }

  /** A PCI function with its group. */
  pci(address: string, given: FakeFunction): this {
    const path = join(this.#paths.get(given.below ?? '') ?? 'sys/devices/pci0000:00', address);
    this.#paths.set(address, path);
    this.link(`sys/bus/pci/devices/${address}`, path);
    const files = { vendor: '0x8086', device: '0x1234', class: given.class, ...given.files };
    for (const [name, text] of Object.entries(files)) this.file(join(path, name), `${text}\n`);
    this.file(join(path, 'config'), given.config ?? spaceOf(256));
    if (given.driver !== undefined) this.link(join(path, 'driver'), `sys/bus/pci/drivers/${given.driver}`);
    if (given.physicalFunction !== undefined) {
      this.link(join(path, 'physfn'), this.#paths.get(given.physicalFunction) ?? '');
    }
    if (given.group !== undefined) {
      const group = `sys/kernel/iommu_groups/${given.group}`;
      this.link(join(path, 'iommu_group'), group);
      this.file(`${group}/type`, 'DMA-FQ\n');
      this.file(`${group}/reserved_regions`, '0x00000000fee00000 0x00000000feefffff msi\n');
      this.link(`${group}/devices/${address}`, path);
    }
    return this;
  }

  /** A network interface on a function, or a virtual one with what lies below it. */
  net(name: string, on: { readonly function?: string; readonly lower?: readonly string[] }): this {
    const path = join(this.#paths.get(on.function ?? '') ?? 'sys/devices/virtual', 'net', name);
    this.file(`${path}/ifindex`, '2\n');
    this.link(`sys/class/net/${name}`, path);
    for (const lower of on.lower ?? []) this.link(`${path}/lower_${lower}`, `sys/class/net/${lower}`);
    return this;
  }

  /** A disk, or with `disk` a partition of one; `number` as in mountinfo. */
  block(
    name: string,
    number: string,
    given: {
      readonly function?: string;
      readonly disk?: string;
      readonly holders?: readonly string[];
      readonly files?: Readonly<Record<string, string>>;
    } = {},
  ): this {
    const parent =
      this.#paths.get(`block ${given.disk}`) ??
      join(this.#paths.get(given.function ?? '') ?? 'sys/devices/virtual', 'block');
    const path = join(parent, name);
    this.#paths.set(`block ${name}`, path);
    this.file(`${path}/dev`, `${number}\n`);
    if (given.disk !== undefined) this.file(`${path}/partition`, '1\n');
    this.folder(`${path}/holders`);
    for (const holder of given.holders ?? []) this.link(`${path}/holders/${holder}`, `sys/class/block/${holder}`);
    for (const [file, text] of Object.entries(given.files ?? {})) this.file(`${path}/${file}`, `${text}\n`);
    this.link(`sys/class/block/${name}`, path);
    return this;
  }

  mounts(...rows: readonly string[]): this {
    this.file('proc/self/mountinfo', `${rows.join('\n')}\n`);
    return this;
  }

  probe(): ProbeDocument {
    return probe({ root: this.root, only: ['vt-d'] });
  }
}

/** What the probe of a host made by `build` says of a device. */
export function assigned(address: string, build: (host: FakeHost) => unknown) {
  const host = new FakeHost();
  try {
    build(host);
    const found = host.probe().assignability?.find((each) => each.address === address);
    if (found === undefined) throw new Error(`${basename(address)} is not in the document`);
    return found;
  } finally {
    host.remove();
  }
}
