/** Journals: what a change intends is on disk before it happens, and two changes never have one device. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RefusedError } from '../../../src/change/errors.ts';
import { Journal, journalFolder } from '../../../src/change/journal.ts';
import { Sysfs } from '../../../src/change/sysfs.ts';
import { FakeHost } from '../../support/fake-host.ts';

const nic = '0000:03:00.0';
const disk = '0000:02:00.0';

let host: FakeHost;
let sysfs: Sysfs;
beforeEach(() => {
  host = new FakeHost();
  host.pci(nic, { class: '0x020000', driver: 'igb' }).pci(disk, { class: '0x010802', driver: 'nvme' });
  host.file('proc/sys/kernel/random/boot_id', 'first\n');
  host.file(`proc/${process.pid}/stat`, `${process.pid} (node) S ${'1 '.repeat(18)}777 1\n`);
  sysfs = new Sysfs(host.root);
});
afterEach(() => host.remove());

describe('a journal', () => {
  it('keeps a second change from the same devices, and names who has them', () => {
    Journal.create(sysfs, [nic], []);
    expect(() => Journal.create(sysfs, [nic], [])).toThrow(`process ${process.pid} of vtkit has ${nic} already`);
  });

  it('keeps a change from devices of which it has some, and leaves nothing of that', () => {
    Journal.create(sysfs, [nic], []).keep();
    expect(() => Journal.create(sysfs, [disk, nic], [])).toThrow(RefusedError);
    expect(readdirSync(join(host.root, journalFolder))).toEqual(['0000.03.00.0.json']);
  });

  it('lets go at its end', () => {
    Journal.create(sysfs, [nic], []).end();
    Journal.create(sysfs, [nic, disk], []).end();
    expect(readdirSync(join(host.root, journalFolder))).toEqual([]);
  });

  it('of another boot binds nobody', () => {
    Journal.create(sysfs, [nic], []);
    host.file('proc/sys/kernel/random/boot_id', 'second\n');
    expect(Journal.naming([nic], sysfs)).toEqual([]);
  });

  it('holds the reason of a change that was forced', () => {
    const { path } = Journal.create(sysfs, [nic], [], 'nobody needs it');
    expect(JSON.parse(readFileSync(path, 'utf8')).forced).toBe('nobody needs it');
  });
});
