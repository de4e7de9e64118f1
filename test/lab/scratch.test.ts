/** Folders that the labs' scripts need for a moment, and those that killed ones leave. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withScratch } from '../../scripts/lab.d/scratch.mjs';

const namespace = readlinkSync('/proc/self/ns/pid').replace(/\D/g, '');
const dead = spawnSync('true').pid;

describe('a folder for a moment', () => {
  let parent: string;
  beforeEach(() => {
    parent = mkdtempSync(join(tmpdir(), 'vtkit-scratch-test-'));
  });
  afterEach(() => rmSync(parent, { recursive: true }));

  /** What is there while a new one is. */
  const beside = (name: string): boolean => {
    mkdirSync(join(parent, name));
    writeFileSync(join(parent, name, 'file'), '');
    return withScratch(parent, 'work', () => readdirSync(parent).includes(name));
  };

  it('is there for the call, and gone with what is in it, whether it returns or throws', () => {
    const fill = (folder: string) => {
      writeFileSync(join(folder, 'file'), '');
      return readdirSync(parent).length;
    };
    expect(withScratch(parent, 'work', fill)).toBe(1);
    const thrown = new Error('thrown');
    expect(() =>
      withScratch(parent, 'work', (folder) => {
        fill(folder);
        throw thrown;
      }),
    ).toThrow(thrown);
    expect(readdirSync(parent)).toEqual([]);
  });

  it('of a process that is dead goes with the next', () => {
    expect(beside(`work-${namespace}-${dead}-abcdef`)).toBe(false);
  });

  it.each([
    ['of a process that lives', `work-${namespace}-${process.pid}-abcdef`],
    ['of a process that this one cannot see', `work-1${namespace}-${dead}-abcdef`],
    ['of another kind', `other-${namespace}-${dead}-abcdef`],
  ])('%s stays', (_, name) => {
    expect(beside(name)).toBe(true);
  });
});
